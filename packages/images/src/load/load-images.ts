import { mkdirSync, statSync } from 'node:fs';
import { ImageError } from '../errors.ts';
import type { Image, LoadOptions, LoadSource } from '../image.ts';
import { hostPlatform } from '../platform.ts';
import { formatReference, parseReference } from '../reference.ts';
import type { ImageDatabase } from '../store/image-database.ts';
import type { ImageIndex } from '../store/image-index.ts';
import { installImage } from '../store/install-image.ts';
import type { StoreContents } from '../store/store-contents.ts';
import type { WorkerPool } from '../unpack/worker-pool.ts';
import { DirectorySource } from './directory-source.ts';
import { readDockerArchive } from './docker-archive.ts';
import { type FoundImage, readOciLayout } from './oci-layout.ts';

export interface LoadContext {
  contents: StoreContents;
  index: ImageIndex;
  db: ImageDatabase;
  pool: WorkerPool;
}

/** Takes in what an archive or a layout holds. @throws ImageError */
export async function loadImages(
  context: LoadContext,
  source: LoadSource,
  options: LoadOptions,
): Promise<Image[]> {
  checkExists(source);
  try {
    return await loadSource(context, source, options);
  } catch (error) {
    if (!(error instanceof ImageError) || error.message.includes(source.path)) throw error;
    const what = `load ${source.kind} ${JSON.stringify(source.path)}`;
    throw new ImageError(error.code, `${what}: ${error.message}`, { cause: error });
  }
}

async function loadSource(context: LoadContext, source: LoadSource, options: LoadOptions): Promise<Image[]> {
  const { contents, pool } = context;
  if (statSync(source.path).isDirectory()) {
    using directory = new DirectorySource(source.path, pool, { isOurs: false });
    return await install(context, { source, directory, dir: source.path }, options);
  }
  const dir = contents.files.tempPath();
  mkdirSync(dir, { mode: 0o700 });
  try {
    await pool.run(
      { job: 'unpack', path: source.path, dir, kind: 'archive' },
      options.signal ? { signal: options.signal } : {},
    );
    using directory = new DirectorySource(dir, pool, { isOurs: true });
    return await install(context, { source, directory, dir }, options);
  } finally {
    await contents.files.discard(dir);
  }
}

async function install(
  context: LoadContext,
  { source, directory, dir }: { source: LoadSource; directory: DirectorySource; dir: string },
  options: LoadOptions,
): Promise<Image[]> {
  const what = `${source.kind} ${JSON.stringify(source.path)}`;
  const platform = options.platform ?? hostPlatform();
  const found =
    kindOf(source, directory) === 'docker-archive'
      ? await readDockerArchive(directory, dir, { what, signal: options.signal })
      : readOciLayout(directory, what, platform);
  const images: Image[] = [];
  for (const { image, names } of choose(found, source.reference, what)) {
    let installed: Image | undefined;
    for (const name of names.length === 0 ? [undefined] : names) {
      installed = await installImage(
        context,
        {
          what,
          manifest: image.manifest,
          documents: image.documents,
          source: directory,
          ...namesFor(name, image),
        },
        { ...options, platform },
      );
    }
    images.push(installed!);
  }
  // An archive may list an image once for each of its names; the last look at it has all of them.
  return [...new Map(images.map((image) => [image.id, image])).values()];
}

/** Which images to take under which names: all under their own; or one under the given name. */
function choose(
  found: FoundImage[],
  reference: string | undefined,
  what: string,
): { image: FoundImage; names: string[] }[] {
  if (found.length === 0) throw new ImageError('not-found', `load ${what}: it holds no image`);
  if (reference === undefined)
    return found.map((image) => ({ image, names: image.names.filter(isFullName) }));
  const wanted = formatReference(parseReference(reference));
  const named = found.filter(({ names }) =>
    names.some(
      (name) => name === reference || (isFullName(name) && formatReference(parseReference(name)) === wanted),
    ),
  );
  if (named.length > 0) return [{ image: named[0]!, names: [reference] }];
  if (found.length === 1) return [{ image: found[0]!, names: [reference] }];
  const list = found.flatMap(({ names }) => names).join(', ');
  throw new ImageError(
    'not-found',
    `load ${reference} from ${what}: it holds ${found.length} images: ${list}`,
  );
}

/** A layout's name may be a mere tag ("latest"), which names no repository. */
function isFullName(name: string): boolean {
  return /[/:]/.test(name);
}

function namesFor(name: string | undefined, { documents }: FoundImage): { tag?: string; digest?: string } {
  if (name === undefined) return {};
  const { registry, repository, tag } = parseReference(name);
  return {
    ...(tag !== undefined && { tag: formatReference({ registry, repository, tag }) }),
    digest: formatReference({ registry, repository, digest: documents[0]!.digest }),
  };
}

/** What an archive is, by what is in it. */
function kindOf({ kind, path }: LoadSource, directory: DirectorySource): LoadSource['kind'] {
  if (kind !== 'archive') return kind;
  const [index, items] = [directory.read('index.json'), directory.read('manifest.json')];
  // Archives of newer Docker versions, and ours, are both. An index with full names tells more: the manifests too.
  if (index !== undefined && (items === undefined || index.includes('"io.containerd.image.name"')))
    return 'oci-archive';
  if (items !== undefined) return 'docker-archive';
  const text = 'it has neither index.json nor manifest.json: not an image';
  throw new ImageError('invalid-archive', `load ${JSON.stringify(path)}: ${text}`);
}

function checkExists({ kind, path }: LoadSource): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined)
    throw new ImageError('not-found', `load ${kind} ${JSON.stringify(path)}: no such file`);
  const isDirectory = kind === 'archive' ? stats.isDirectory() : kind === 'oci-layout';
  if (stats.isDirectory() !== isDirectory) {
    const text = isDirectory ? 'not a directory' : 'not a file';
    throw new ImageError('invalid-archive', `load ${kind} ${JSON.stringify(path)}: ${text}`);
  }
}
