import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { isCode, unmountAsync } from '@amphipod/linux';
import type { RuntimeContext } from '../context.ts';
import { errorText } from '../errors.ts';
import { containerPaths } from './paths.ts';

/** Mounts the image with a writable layer of the container's own as the root of its bundle. */
export function mountContainerRootfs(context: RuntimeContext, containerId: string, imageId: string): void {
  const { bundle, rootfs, upper, work } = containerPaths(context.config, containerId);
  mkdirSync(bundle, { recursive: true, mode: 0o711 });
  for (const dir of [rootfs, upper, work]) mkdirSync(dir, { recursive: true });
  // After a crash of the machine the container is gone: syncing its layer at each unmount would help nobody (docs/adr/0009).
  context.images.mountRootfs(imageId, { upperDir: upper, workDir: work, target: rootfs, volatile: true });
}

/**
 * Removes bundle, root file system and writable layer; fine when they are gone. The layer, which may hold any number of
 * files, is moved aside and deleted behind the caller's back; what a killed daemon leaves of it goes at the next start.
 */
export async function removeContainerFiles(context: RuntimeContext, containerId: string): Promise<void> {
  const { bundle, rootfs, data } = containerPaths(context.config, containerId);
  await unmountAsync(rootfs);
  rmSync(bundle, { recursive: true, force: true });
  const doomed = `${data}.removed`;
  try {
    renameSync(data, doomed);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return;
    throw error;
  }
  rm(doomed, { recursive: true, force: true }).catch((error: unknown) =>
    context.log.error('delete writable layer', { container: containerId, error: errorText(error) }),
  );
}
