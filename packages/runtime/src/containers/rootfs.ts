import { mkdirSync, rmSync } from 'node:fs';
import { unmount } from '@amphipod/linux';
import type { RuntimeContext } from '../context.ts';
import { containerPaths } from './paths.ts';

/** Mounts the image with a writable layer of the container's own as the root of its bundle. */
export function mountContainerRootfs(context: RuntimeContext, containerId: string, imageId: string): void {
  const { bundle, rootfs, upper, work } = containerPaths(context.config, containerId);
  mkdirSync(bundle, { recursive: true, mode: 0o711 });
  for (const dir of [rootfs, upper, work]) mkdirSync(dir, { recursive: true });
  context.images.mountRootfs(imageId, { upperDir: upper, workDir: work, target: rootfs });
}

/** Removes bundle, root file system and writable layer; fine when they are gone. */
export function removeContainerFiles(context: RuntimeContext, containerId: string): void {
  const { bundle, rootfs, data } = containerPaths(context.config, containerId);
  unmount(rootfs);
  rmSync(bundle, { recursive: true, force: true });
  rmSync(data, { recursive: true, force: true });
}
