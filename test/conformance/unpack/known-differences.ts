import type { Unpacker } from './peers.ts';

/** Where another program does not do what we do. docs/images-unpack.md gives the reasons in full. */
export interface Difference {
  peer: Unpacker['name'];
  /** Names of images; all when left out. */
  images?: string[];
  /** Paths that may differ; `refused` when it does not take the image. */
  paths: RegExp | 'refused';
  why: string;
}

const sparse = ['old GNU sparse, five extents and more', 'tar --format=gnu -S'];
const globals = ['global header with a comment', 'global header with attributes'];

export const knownDifferences: Difference[] = [
  { peer: 'containerd', paths: /^$/, why: 'it passes over the entry of the root' },
  { peer: 'containerd', images: ['times'], paths: /^[dfl][67]$/, why: 'times before 1970 become 1970' },
  { peer: 'containerd', images: ['base-256 numbers'], paths: /^before 1970$/, why: 'the same' },
  {
    peer: 'containerd',
    images: ['hard links with attributes of their own'],
    paths: /^[ab]$/,
    why: 'it applies the attributes in the entry of a hard link to the file; tar(1), umoci and we do not',
  },
  {
    peer: 'containerd',
    images: ['extended attributes'],
    paths: /^(l|trusted)$/,
    why: 'it leaves out attributes of the namespace "trusted"',
  },
  {
    peer: 'containerd',
    images: ['global header with attributes'],
    paths: /^f$/,
    why: 'it passes over global headers; POSIX says that they apply to what follows',
  },
  ...(['umoci', 'containerd'] as const).map(
    (peer): Difference => ({
      peer,
      images: [...sparse, 'version 7', 'a hard link to itself'],
      paths: 'refused',
      why: 'it does not know old GNU sparse files and directories by a slash, and makes a link to what it has just removed',
    }),
  ),
  { peer: 'umoci', images: globals, paths: 'refused', why: 'it does not know global headers' },
  {
    peer: 'umoci',
    images: ['hard links', 'names', 'GNU long names', 'directories that a layer only implies'],
    paths: /^$/,
    why: 'a directory that an entry only implies changes the time of the one it is made in',
  },
  {
    peer: 'umoci',
    images: ['an implied directory in the place of a link'],
    paths: /^(|d|d\/new|l|l\/new)$/,
    why: 'it follows the link of the lower layer; we and containerd put a directory in its place',
  },
  {
    peer: 'containerd',
    images: ['another kind in the same layer', 'a deletion after a new file of the same name'],
    paths: 'refused',
    why: 'it sets times of directories that are gone, and puts a deletion on top of the new file',
  },
  {
    peer: 'umoci',
    images: ['a deletion after a new file of the same name'],
    paths: /^dir$/,
    why: 'a deletion touches the time of the directory that replaces what it deletes',
  },
  {
    peer: 'umoci',
    images: ['opaque directories'],
    paths: /^late\/sub$/,
    why: 'an opaque marker touches the times of the new directories',
  },
  {
    peer: 'containerd',
    images: [
      'changes of contents and of attributes alone',
      'opaque directories',
      'directories that a layer only implies',
    ],
    paths: /^(dir|tmp|home\/app)$/,
    why: 'a directory that a layer only implies gets the time of unpacking, not the one it has below',
  },
  {
    peer: 'containerd',
    images: ['deletions and new files of the same name'],
    paths: /^dir\/(a|b|sub|sub\/c)$/,
    why: 'a directory that is deleted and made again shows what it held before',
  },
  {
    peer: 'containerd',
    images: ['a root that hides everything below'],
    paths: /^(dir|file|link)/,
    why: 'overlayfs does not heed the marker in the root of a layer; we leave out the layers below',
  },
  {
    peer: 'containerd',
    images: ['deletion in a directory that becomes a link (IMG-09)'],
    paths: /^gone(\/x)?$/,
    why: 'a deletion of nothing is listed as a file that is not there',
  },
];
