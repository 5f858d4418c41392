import { lstat, readdir } from 'node:fs/promises';
import { isCode } from '@amphipod/linux';

/** Disk use of a directory tree. */
export interface LayerSize {
  usedBytes: bigint;
  inodes: bigint;
}

/**
 * `du` of a directory tree: blocks in use, a file with several names counted once. Runs in the thread pool, one call at a
 * time; what changes or goes meanwhile is no error. @throws when `signal` is aborted
 */
export async function measureLayer(dir: string, signal?: AbortSignal): Promise<LayerSize> {
  const seen = new Set<string>();
  let blocks = 0;
  let inodes = 0;
  const count = async (path: string) => {
    const stat = await orGone(lstat(path));
    if (stat === undefined) return;
    if (stat.nlink > 1 && !stat.isDirectory()) {
      const inode = `${stat.dev}:${stat.ino}`;
      if (seen.has(inode)) return;
      seen.add(inode);
    }
    blocks += stat.blocks;
    inodes += 1;
  };
  const pending = [dir];
  await count(dir);
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    for (const entry of (await orGone(readdir(next, { withFileTypes: true }))) ?? []) {
      signal?.throwIfAborted();
      const path = `${next}/${entry.name}`;
      await count(path);
      if (entry.isDirectory()) pending.push(path);
    }
  }
  return { usedBytes: BigInt(blocks) * 512n, inodes: BigInt(inodes) };
}

async function orGone<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}
