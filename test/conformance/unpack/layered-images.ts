import type { Entry } from '@amphipod/images/testing';
import { dir, file, hardlink, symlink } from './entries.ts';
import type { TestLayers } from './images.ts';

/** A tree that every test of directories and deletions begins with. */
const base: Entry[] = [
  dir('/', { mode: 0o755, mtime: 100 }),
  dir('dir', { mode: 0o750, uid: 5, mtime: 101 }),
  file('dir/a', 'a', { mtime: 102 }),
  file('dir/b', 'b', { mtime: 103 }),
  dir('dir/sub', { mode: 0o1777, gid: 6, mtime: 104 }),
  file('dir/sub/c', 'c', { mtime: 105 }),
  file('file', 'file', { mtime: 106 }),
  symlink('link', 'dir', { mtime: 107 }),
];

/** Entries that replace, change and imply others, in one layer and in several. */
export function layerOrders(): Record<string, TestLayers> {
  return {
    'the last entry of a name wins': [
      [
        file('f', 'first', { mode: 0o600, uid: 1 }),
        hardlink('kept', 'f', { mode: 0o600, uid: 1 }),
        file('f', 'second', { mode: 0o640 }),
        dir('d', { mode: 0o700, uid: 1, mtime: 1 }),
        file('d/x'),
        dir('d', { mode: 0o711, uid: 2, mtime: 2 }),
        symlink('l', 'one'),
        symlink('l', 'two', { uid: 3 }),
        file('h', 'gone'),
        hardlink('h', 'f', { mode: 0o640 }),
      ],
    ],
    'another kind in the same layer': [
      [
        dir('dir to file'),
        ...Array.from({ length: 200 }, (_, i) => file(`dir to file/${i % 7}/${i}`)),
        file('dir to file', 'file'),
        dir('dir to link'),
        file('dir to link/x'),
        symlink('dir to link', 'elsewhere'),
        file('file to dir'),
        dir('file to dir'),
        file('file to dir/x'),
        symlink('link to file', 'dir to file'),
        file('link to file', 'not through the link'),
        { path: 'fifo to file', type: 'fifo' },
        file('fifo to file'),
      ],
    ],
    'another kind in a later layer': [
      [...base, symlink('to-file', 'x'), { path: 'pipe', type: 'fifo' }],
      [
        dir('file', { mode: 0o711, mtime: 200 }),
        file('file/in', 'now a directory'),
        file('dir', 'now a file'),
        dir('link', { mode: 0o700 }),
        file('link/in', 'now a directory'),
        file('to-file', 'now a file'),
        symlink('pipe', 'file'),
      ],
    ],
    'directories after what is in them': [
      [
        file('d/e/f', 'x', { mtime: 5 }),
        dir('d/e', { mode: 0o700, uid: 4, mtime: 6 }),
        dir('d', { mode: 0o711, uid: 5, mtime: 7 }),
        hardlink('p/q', 'd/e/f', { mtime: 5 }),
        dir('p', { mode: 0o2755, mtime: 8 }),
        dir('./', { mode: 0o711, mtime: 9 }),
      ],
    ],
    'changes of contents and of attributes alone': [
      base,
      [
        dir('dir', { mode: 0o555, uid: 9, mtime: 300 }),
        file('dir/a', 'changed', { mode: 0o600, mtime: 301 }),
        file('dir/b', 'b', { mode: 0o4755, uid: 3, mtime: 302 }),
        dir('/', { mode: 0o711, mtime: 303 }),
      ],
      [dir('dir/sub', { mode: 0o700, mtime: 304, xattrs: { 'user.a': 'b' } }), file('dir/sub/d', 'd')],
    ],
    'an implied directory in the place of a link': [
      [dir('d', { mtime: 5 }), file('d/x'), symlink('l', 'd')],
      [file('l/new')],
    ],
    'directories that a layer only implies': [
      [dir('/'), dir('tmp', { mode: 0o1777, mtime: 5 }), dir('home/app', { mode: 0o700, uid: 10, mtime: 6 })],
      [file('tmp/x'), file('home/app/y', 'y', { uid: 10 }), file('new/dir/z')],
    ],
  };
}

/** Deletions and opaque markers. */
export function deletions(): Record<string, TestLayers> {
  return {
    'deletions of every kind': [
      [...base, { path: 'p', type: 'fifo' }, file('.dot', 'x'), file('dir/keep', 'x')],
      [
        dir('/', { mtime: 400 }),
        { path: '.wh.file' },
        { path: '.wh.link' },
        { path: '.wh.p' },
        { path: '.wh..dot' },
        { path: '.wh.never was' },
        dir('dir', { mode: 0o750, uid: 5, mtime: 401 }),
        { path: 'dir/.wh.a' },
        { path: 'dir/.wh.sub' },
      ],
    ],
    'deletions and new files of the same name': [
      base,
      [
        dir('/', { mtime: 400 }),
        { path: '.wh.dir' },
        dir('dir', { mode: 0o700, mtime: 401 }),
        file('dir/new', 'n', { mtime: 402 }),
        { path: '.wh.file' },
        file('file', 'again', { mtime: 403 }),
        { path: '.wh.link' },
        dir('link', { mtime: 404 }),
        file('link/x', 'x'),
      ],
    ],
    'a deletion after a new file of the same name': [
      base,
      [
        dir('/', { mtime: 400 }),
        dir('dir', { mode: 0o700, mtime: 401 }),
        file('dir/new', 'n', { mtime: 402 }),
        { path: '.wh.dir' },
        file('file', 'again', { mtime: 403 }),
        { path: '.wh.file' },
      ],
    ],
    'opaque directories': [
      [...base, dir('late', { mtime: 5 }), file('late/old'), dir('late/sub'), file('late/sub/old')],
      [
        dir('/', { mtime: 500 }),
        dir('dir', { mode: 0o711, mtime: 501 }),
        { path: 'dir/.wh..wh..opq' },
        file('dir/new', 'n', { mtime: 502 }),
        dir('dir/sub', { mode: 0o700, mtime: 503 }),
        dir('late', { mtime: 504 }),
        file('late/new', 'n', { mtime: 505 }),
        dir('late/sub', { mtime: 506 }),
        file('late/sub/new', 'n', { mtime: 507 }),
        { path: 'late/.wh..wh..opq' },
      ],
      [dir('dir/sub', { mode: 0o700, mtime: 600 }), file('dir/sub/top', 't', { mtime: 601 })],
    ],
    'a root that hides everything below': [
      base,
      [dir('/', { mtime: 500 }), { path: '.wh..wh..opq' }, file('only', 'this', { mtime: 501 })],
    ],
    'deletion in a directory that becomes a link (IMG-09)': [
      [dir('/'), dir('a'), file('a/a'), symlink('lnk', 'one')],
      [
        { path: 'a/.wh.a' },
        dir('/', { mtime: 5 }),
        symlink('a', 'b'),
        dir('b', { mtime: 6 }),
        symlink('lnk', 'two'),
      ],
      [dir('/', { mtime: 7 }), { path: 'gone/.wh.x' }],
    ],
  };
}
