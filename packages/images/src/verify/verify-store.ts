import { statSync } from 'node:fs';
import { ImageError } from '../errors.ts';
import type { Damage, VerifyOptions, VerifyReport } from '../image.ts';
import type { Descriptor } from '../manifest.ts';
import { describeImage } from '../store/describe-image.ts';
import type { ImageRow } from '../store/image-database.ts';
import type { ImageIndex } from '../store/image-index.ts';
import type { BlobSource, StoreContents } from '../store/store-contents.ts';
import type { WorkerPool } from '../unpack/worker-pool.ts';

export interface VerifyContext {
  contents: StoreContents;
  index: ImageIndex;
  pool: WorkerPool;
  /** The registry that an image came from. */
  sourceOf(reference: string): BlobSource;
}

/** One run: what it was asked, and what it has found so far. */
interface Run extends VerifyContext {
  options: VerifyOptions;
  signal: AbortSignal;
  report: VerifyReport;
  blobs: Map<string, ImageRow[]>;
}

/** Hashes every blob; unpacks every layer once more, beside the old one, and compares the two. */
export async function verifyStore(context: VerifyContext, options: VerifyOptions): Promise<VerifyReport> {
  const { contents, index } = context;
  const images = rowsOf(index, options.references);
  const blobs = new Map<string, ImageRow[]>();
  const chainIds = new Set<string>();
  for (const image of images) {
    const unpacked = image.chainIds.map((chainId) => contents.inventory.layer(chainId)?.blob);
    for (const digest of new Set([...image.blobs, ...unpacked])) {
      if (digest != null) blobs.set(digest, [...(blobs.get(digest) ?? []), image]);
    }
    for (const chainId of image.chainIds) chainIds.add(chainId);
  }
  // Removing an image in the meantime takes nothing away from under us.
  const lease = contents.openLease();
  for (const digest of blobs.keys()) lease.digests.add(digest);
  for (const chainId of chainIds) lease.chainIds.add(chainId);
  const report: VerifyReport = { checkedBlobs: 0, checkedLayers: 0, damages: [] };
  const signal = options.signal ?? new AbortController().signal;
  const run: Run = { ...context, options, signal, report, blobs };
  try {
    for (const [digest, users] of blobs) await verifyBlob(run, digest, users);
    if (options.blobsOnly !== true) await verifyLayers(run, images, chainIds.size);
    return report;
  } finally {
    contents.closeLease(lease);
    await contents.collect(index.rows());
  }
}

async function verifyBlob(run: Run, digest: string, users: ImageRow[]): Promise<void> {
  const { contents, report, options, signal, pool } = run;
  options.onProgress?.({ kind: 'blob', digest, done: report.checkedBlobs, total: run.blobs.size });
  report.checkedBlobs += 1;
  const path = contents.files.blobPath(digest);
  let problem: string | undefined;
  if (statSync(path, { throwIfNoEntry: false }) === undefined) problem = 'it is missing';
  else {
    try {
      const found = await pool.run({ job: 'hash', path }, { signal });
      if (found.digest !== digest) problem = `it has digest ${found.digest} and ${found.size} bytes`;
    } catch (error) {
      signal.throwIfAborted();
      problem = `it cannot be read: ${(error as Error).message}`;
    }
  }
  if (problem === undefined) return;
  contents.inventory.markDamaged(digest);
  const damage: Damage = {
    kind: 'blob',
    digest,
    imageIds: users.map(({ id }) => id),
    problem,
    isRepaired: false,
  };
  report.damages.push(damage);
  if (options.repair) await repair(damage, run, () => fetchBlob(run, digest, users));
}

/** Gets a blob anew from a registry that has an image with it. */
async function fetchBlob(
  { contents, sourceOf, signal }: Run,
  digest: string,
  users: ImageRow[],
): Promise<void> {
  const names = users.flatMap(({ digests, tags }) => [...digests, ...tags]);
  if (names.length === 0) {
    throw new ImageError('not-found', `fetch blob ${digest}: its images have no name: load them again`);
  }
  const failures: string[] = [];
  // One name for each repository.
  const references = new Map(names.map((name) => [name.replace(/@.*|:[^:/]*$/, ''), name]));
  for (const name of references.values()) {
    const descriptor: Descriptor = { mediaType: '', digest, size: contents.inventory.blobSize(digest)! };
    try {
      await contents.ensureBlob(descriptor, sourceOf(name), { signal });
      contents.inventory.setRecorded(await contents.syncNew([digest], []));
      return;
    } catch (error) {
      signal.throwIfAborted();
      failures.push((error as Error).message);
    }
  }
  throw new ImageError('not-found', `fetch blob ${digest}: ${failures.join('; ')}`);
}

async function verifyLayers(run: Run, images: ImageRow[], total: number): Promise<void> {
  const { contents, report, options } = run;
  const seen = new Set<string>();
  for (const image of images) {
    // Without its own documents, which are reported already, it cannot be said what a layer should be.
    if (![image.id, image.manifest ?? ''].every((digest) => contents.inventory.hasBlob(digest))) continue;
    const { layers } = describeImage(contents, image);
    for (const [i, { chainId, diffId }] of layers.entries()) {
      if (seen.has(chainId)) continue;
      // What a layer takes over from those below it cannot be told while one of them is wrong.
      if (image.chainIds.slice(0, i).some((lower) => isDamaged(report, lower))) break;
      seen.add(chainId);
      options.onProgress?.({ kind: 'layer', digest: chainId, done: seen.size - 1, total });
      await verifyLayer(run, { chainId, diffId, lowerChainIds: image.chainIds.slice(0, i).reverse() });
    }
  }
  report.checkedLayers = seen.size;
}

function isDamaged({ damages }: VerifyReport, chainId: string): boolean {
  return damages.some(({ digest, isRepaired }) => digest === chainId && !isRepaired);
}

async function verifyLayer(
  run: Run,
  { chainId, diffId, lowerChainIds }: { chainId: string; diffId: string; lowerChainIds: string[] },
): Promise<void> {
  const { contents, pool, report, options, signal, index } = run;
  const blob = contents.inventory.layer(chainId)!.blob;
  const users = index.rows().filter((row) => row.chainIds.includes(chainId));
  const damage: Damage = {
    kind: 'layer',
    digest: chainId,
    imageIds: users.map(({ id }) => id),
    problem: '',
    isRepaired: false,
  };
  if (blob === null || !contents.inventory.hasBlob(blob)) {
    damage.problem = `it cannot be compared: its blob ${blob ?? ''} is not in the store or damaged`;
    report.damages.push(damage);
    return;
  }
  const unpacked = await contents.unpackLayer(
    { digest: blob, diffId, chainId, lowerChainIds, below: Promise.resolve() },
    { signal },
  );
  let isInPlace = false;
  try {
    const differences = await pool.run({
      job: 'compare',
      expected: contents.files.layerDir(unpacked.row.number),
      found: contents.layerDir(chainId),
      ignoreTimes: unpacked.implicitDirs,
    });
    if (differences.length === 0) return;
    damage.problem = differences.join('; ');
    report.damages.push(damage);
    if (!options.repair) return;
    await repair(damage, run, async () => {
      const held = users.filter(({ id }) => index.isHeld(id));
      if (held.length > 0) {
        throw new ImageError('in-use', `replace layer ${chainId}: containers use it; remove them first`);
      }
      await contents.replaceLayer(unpacked.row);
      isInPlace = true;
    });
  } finally {
    if (!isInPlace) await contents.files.discardLayer(unpacked.row.number);
  }
}

async function repair(damage: Damage, { signal }: Run, act: () => Promise<void>): Promise<void> {
  try {
    await act();
    damage.isRepaired = true;
  } catch (error) {
    signal.throwIfAborted();
    damage.repairError = (error as Error).message;
  }
}

function rowsOf(index: ImageIndex, references: readonly string[] | undefined): ImageRow[] {
  if (references === undefined) return index.rows();
  return references.map((reference) => {
    const image = index.find(reference);
    if (image === undefined)
      throw new ImageError('not-found', `verify image ${JSON.stringify(reference)}: no such image`);
    return index.row(image.id)!;
  });
}
