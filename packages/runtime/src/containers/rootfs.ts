import { mkdirSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { unmountAsync } from '@amphipod/linux';
import type { RuntimeContext } from '../context.ts';
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
 * files, is deleted in the thread pool.
 */
export async function removeContainerFiles(context: RuntimeContext, containerId: string): Promise<void> {
  const { bundle, rootfs, data } = containerPaths(context.config, containerId);
  await unmountAsync(rootfs);
  rmSync(bundle, { recursive: true, force: true });
  await rm(data, { recursive: true, force: true });
}
