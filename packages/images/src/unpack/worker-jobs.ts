import { createHash } from 'node:crypto';
import { closeSync, constants, copyFileSync, createReadStream } from 'node:fs';
import { openRootDir, removeTreeAt, SyscallError } from '@amphipod/linux';
import { assembleLayer, type LayerParts } from '../import/assemble-layer.ts';
import { compareTrees, type TreeComparison } from '../verify/compare-trees.ts';
import { settleLayer, type Unsettled } from './settle-layer.ts';
import { type UnpackOptions, type UnpackRequest, type UnpackResult, unpackTar } from './unpack-tar.ts';

/** What a worker does: work that blocks its thread, on files. */
export type WorkerJob =
  | ({ job: 'unpack' } & UnpackRequest)
  | { job: 'settle'; dir: string; lowerDirs: string[]; unsettled: Unsettled }
  /** `rm -rf PARENT/NAME`. */
  | { job: 'remove'; parent: string; name: string }
  /** sha256 and size of a file, after copying it from elsewhere when `from` is given. */
  | { job: 'hash'; path: string; from?: string }
  /** The archive of a layer that another store has unpacked. */
  | ({ job: 'assemble' } & LayerParts)
  /** Differences of two trees. */
  | ({ job: 'compare' } & TreeComparison);

export interface JobResults {
  unpack: UnpackResult;
  settle: undefined;
  remove: undefined;
  hash: { digest: string; size: number };
  assemble: { digest: string; size: number };
  compare: string[];
}

export async function runJob(job: WorkerJob, options: UnpackOptions): Promise<JobResults[WorkerJob['job']]> {
  switch (job.job) {
    case 'unpack':
      return unpackTar(job, options);
    case 'settle':
      settleLayer(job.dir, job.lowerDirs, job.unsettled);
      return undefined;
    case 'remove':
      removeTree(job.parent, job.name);
      return undefined;
    case 'hash':
      if (job.from !== undefined) copyFileSync(job.from, job.path, constants.COPYFILE_FICLONE);
      return hashFile(job.path, options);
    case 'assemble':
      return assembleLayer(job, options);
    case 'compare':
      return compareTrees(job);
  }
}

function removeTree(parent: string, name: string): void {
  const fd = openRootDir(parent);
  if (fd < 0) throw new SyscallError('open', -fd, parent);
  try {
    const removed = removeTreeAt(fd, name);
    if (removed < 0) throw new SyscallError('remove tree', -removed, `${parent}/${name}`);
  } finally {
    closeSync(fd);
  }
}

async function hashFile(path: string, { signal, onProgress }: UnpackOptions): Promise<JobResults['hash']> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of createReadStream(path, {
    highWaterMark: 1024 * 1024,
    ...(signal && { signal }),
  })) {
    hash.update(chunk as Buffer);
    size += (chunk as Buffer).length;
    onProgress?.(size);
  }
  return { digest: `sha256:${hash.digest('hex')}`, size };
}
