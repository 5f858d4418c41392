import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { copyFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { RuntimeContext } from '../context.ts';
import { CriError } from '../errors.ts';
import { runProgram, runRuntime } from '../oci/run-runtime.ts';
import { findProgram, runtimeFor } from '../oci/runtimes.ts';
import type { Container } from '../store/records.ts';
import { containerPaths } from './paths.ts';

/**
 * Writes the state of a running container to the archive `location` (mode 0600): criu's images below `checkpoint/`, the OCI
 * configuration as `spec.dump`, our own record as `config.dump`, and the writable layer as `rootfs-diff.tar`. The container
 * goes on. Nothing is left at `location` after a failure.
 * @throws CriError failed-precondition with criu's text, or the reason of `signal`
 */
export async function checkpointContainer(
  context: RuntimeContext,
  container: Container,
  { location, signal }: { location: string; signal: AbortSignal },
): Promise<void> {
  const { id } = container;
  const paths = containerPaths(context.config, id);
  const dir = `${paths.data}/checkpoint`;
  const partial = `${location}.partial`;
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(`${dir}/checkpoint`, { recursive: true, mode: 0o700 });
  try {
    const images = ['--image-path', `${dir}/checkpoint`, '--work-path', dir];
    const runtime = runtimeFor(context.runtimes, container.runtimeHandler);
    await runRuntime(runtime, ['checkpoint', ...images, '--leave-running', '--file-locks', id], { signal });
    await copyFile(paths.spec, `${dir}/spec.dump`);
    writeFileSync(`${dir}/config.dump`, configDump(container));
    const tar: [string, ...string[]] = ['tar', '--numeric-owner', '--xattrs', '--xattrs-include=*'];
    await runProgram([...tar, '-C', paths.upper, '-cf', `${dir}/rootfs-diff.tar`, '.'], { signal });
    mkdirSync(dirname(location), { recursive: true, mode: 0o700 });
    writeFileSync(partial, '', { mode: 0o600 });
    await runProgram([...tar, '-C', dir, '-cf', partial, '.'], { signal });
    renameSync(partial, location);
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** @throws CriError unimplemented: what the kubelet takes for "this runtime cannot" */
export function requireCriu(): void {
  if (findProgram('criu') !== undefined) return;
  throw new CriError('unimplemented', 'checkpoint container: criu is not installed on this node');
}

function configDump(container: Container): string {
  const { id, name, imageName, imageId, imageRef, runtimeHandler, createdAtNs } = container;
  return JSON.stringify({
    id,
    name,
    rootfsImageName: imageName,
    rootfsImageRef: imageRef,
    rootfsImageId: imageId,
    runtime: runtimeHandler,
    createdTime: new Date(Number(createdAtNs / 1_000_000n)).toISOString(),
  });
}
