import { createWriteStream, existsSync, mkdirSync, statSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { ImageError, isDiskFull } from '../errors.ts';
import type { Image, LoadOptions, LoadSource, Platform } from '../image.ts';
import { containerdContent, type ImportedImage, readContainerd } from '../import/containerd.ts';
import { ContainersStorage } from '../import/containers-storage.ts';
import { hostPlatform } from '../platform.ts';
import { formatReference, parseReference } from '../reference.ts';
import { checkLoadSource } from '../signatures/check-signatures.ts';
import type { ImageDatabase } from '../store/image-database.ts';
import type { ImageIndex } from '../store/image-index.ts';
import { installImage } from '../store/install-image.ts';
import type { BlobSource, StoreContents } from '../store/store-contents.ts';
import type { WorkerPool } from '../unpack/worker-pool.ts';
import { DirectorySource } from './directory-source.ts';
import { readDockerArchive } from './docker-archive.ts';
import { type FoundImage, readOciLayout } from './oci-layout.ts';

export interface LoadContext {
  contents: StoreContents;
  index: ImageIndex;
  db: ImageDatabase;
  pool: WorkerPool;
  /** policy.json to check sources against. */
  signaturePolicy: string | undefined;
}

/** Takes in what an archive or a layout holds. @throws ImageError */
export async function loadImages(
  context: LoadContext,
  source: LoadSource,
  options: LoadOptions,
): Promise<Image[]> {
  if (source.data === undefined) checkExists(source);
  // What an archive is, is seen later.
  if (source.kind !== 'archive') checkPolicy(context, source, source.kind);
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
  if (source.data === undefined && statSync(source.path).isDirectory()) {
    const path = source.kind === 'containerd' ? `${source.path}/${containerdContent}` : source.path;
    using directory = new DirectorySource(path, pool, { isOurs: false });
    return await install(context, { source, directory, dir: source.path }, options);
  }
  const received = contents.files.tempPath();
  const dir = contents.files.tempPath();
  const signalOption = options.signal ? { signal: options.signal } : {};
  try {
    if (source.data !== undefined)
      await pipeline(source.data, createWriteStream(received, { flags: 'wx', mode: 0o600 }), signalOption);
    mkdirSync(dir, { mode: 0o700 });
    const path = source.data === undefined ? source.path : received;
    await pool.run({ job: 'unpack', path, dir, kind: 'archive' }, signalOption);
    await contents.files.discard(received);
    using directory = new DirectorySource(dir, pool, { isOurs: true });
    return await install(context, { source, directory, dir }, options);
  } finally {
    await contents.files.discard(received);
    await contents.files.discard(dir);
  }
}

interface OpenSource {
  source: LoadSource;
  directory: DirectorySource;
  /** Where the archive is unpacked. */
  dir: string;
}

async function install(context: LoadContext, opened: OpenSource, options: LoadOptions): Promise<Image[]> {
  const { source } = opened;
  const what = `${source.kind} ${JSON.stringify(source.path)}`;
  const platform = options.platform ?? hostPlatform();
  const { found, blobs } = await read(context, opened, { ...options, platform, what });
  const images = new Map<string, Image>();
  for (const { image, names } of choose(found, source.reference, what)) {
    try {
      if ('error' in image) throw image.error;
      let installed: Image | undefined;
      for (const name of names.length === 0 ? [undefined] : names) {
        const { manifest, documents, layers } = image;
        const wanted = { what, manifest, documents, ...(layers && { layers }), source: blobs };
        installed = await installImage(
          context,
          { ...wanted, ...namesFor(name, image) },
          { ...options, platform },
        );
        // An archive may list an image once for each of its names; the last look at it has all of them.
        images.set(installed.id, installed);
      }
      options.onLoaded?.(installed!);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (options.onFailure === undefined || isDiskFull(error)) throw error;
      options.onFailure(names, error as Error);
    }
  }
  return [...images.values()];
}

/** What a source holds, and where its blobs come from. */
async function read(
  context: LoadContext,
  { source, directory, dir }: OpenSource,
  { platform, what, signal }: LoadOptions & { platform: Platform; what: string },
): Promise<{ found: ImportedImage[]; blobs: BlobSource }> {
  const kind = kindOf({ source, directory, dir });
  if (source.kind === 'archive') checkPolicy(context, source, kind);
  switch (kind) {
    case 'docker-archive':
      return { found: await readDockerArchive(directory, dir, { what, signal }), blobs: directory };
    case 'oci-layout':
    case 'oci-archive':
      return { found: readOciLayout(directory, what, platform), blobs: directory };
    case 'containerd': {
      const { namespace = 'k8s.io', path } = source;
      return { found: readContainerd(directory, { root: path, namespace, platform }), blobs: directory };
    }
    case 'containers-storage': {
      const storage = new ContainersStorage(source.path, directory, context.pool);
      return { found: storage.images(), blobs: storage };
    }
  }
}

type KnownKind = Exclude<LoadSource['kind'], 'archive'>;

/** @throws ImageError signature-refused */
function checkPolicy({ signaturePolicy }: LoadContext, { data, path }: LoadSource, kind: KnownKind): void {
  // What comes through a pipe has no place that a policy could name.
  if (signaturePolicy !== undefined)
    checkLoadSource(signaturePolicy, { kind, path: data === undefined ? path : '/' });
}

/** Which images to take under which names: all under their own; or one under the given name. */
function choose(
  found: ImportedImage[],
  reference: string | undefined,
  what: string,
): { image: ImportedImage; names: string[] }[] {
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
  const { registry, repository, tag, digest } = parseReference(name);
  const isOurs = documents.some((document) => document.digest === digest);
  return {
    // With a digest, the tag does not count.
    ...(tag !== undefined && digest === undefined && { tag: formatReference({ registry, repository, tag }) }),
    digest: formatReference({ registry, repository, digest: isOurs ? digest! : documents[0]!.digest }),
  };
}

/** What an archive is, by what is in it. */
function kindOf({ source: { kind, path }, directory, dir }: OpenSource): KnownKind {
  if (kind !== 'archive') return kind;
  // Not unpacked: a directory.
  if (dir === path) return 'oci-layout';
  const [index, items] = [directory.read('index.json'), directory.read('manifest.json')];
  // Archives of newer Docker versions, and ours, are both. An index with full names tells more: the manifests too.
  if (index !== undefined && (items === undefined || index.includes('"io.containerd.image.name"')))
    return 'oci-archive';
  if (items !== undefined) return 'docker-archive';
  const text = 'it has neither index.json nor manifest.json: not an image';
  throw new ImageError('invalid-archive', `load ${JSON.stringify(path)}: ${text}`);
}

const directoryKinds: LoadSource['kind'][] = ['oci-layout', 'containerd', 'containers-storage'];

function checkExists({ kind, path }: LoadSource): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined)
    throw new ImageError('not-found', `load ${kind} ${JSON.stringify(path)}: no such file`);
  if (kind === 'containerd' && !existsSync(`${path}/${containerdContent}`)) {
    const text = `no ${containerdContent} in it: is it the root directory of containerd?`;
    throw new ImageError('not-found', `load ${kind} ${JSON.stringify(path)}: ${text}`);
  }
  const isDirectory = kind === 'archive' ? stats.isDirectory() : directoryKinds.includes(kind);
  if (stats.isDirectory() !== isDirectory) {
    const text = isDirectory ? 'not a directory' : 'not a file';
    throw new ImageError('invalid-archive', `load ${kind} ${JSON.stringify(path)}: ${text}`);
  }
}
