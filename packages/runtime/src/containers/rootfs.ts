import { mkdirSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { isCode, unmountAsync } from '@amphipod/linux';
import type { RuntimeContext } from '../context.ts';
import { listDir } from '../list-dir.ts';
import { sandboxPaths } from '../pods/paths.ts';
import type { Container, Sandbox } from '../store/records.ts';
import { containerPaths } from './paths.ts';

/** Mounts the image with a writable layer of the container's own as the root of its bundle. */
export function mountContainerRootfs(context: RuntimeContext, sandbox: Sandbox, container: Container): void {
  const { bundle, rootfs, upper, work } = containerPaths(context.config, container.id);
  mkdirSync(bundle, { recursive: true, mode: 0o711 });
  for (const dir of [rootfs, work]) mkdirSync(dir, { recursive: true });
  context.images.mountRootfs(container.imageId, {
    upperDir: upper,
    workDir: work,
    target: rootfs,
    // After a crash of the machine the container is gone: syncing its layer at each unmount would help nobody (docs/adr/0009).
    volatile: true,
    ...podIdMap(context, sandbox),
  });
}

/** For a mount of an image that the pod's users are to see with their own ids; nothing for the node's. */
export function podIdMap(context: RuntimeContext, { id, userns }: Sandbox): { idMap?: { userNs: string } } {
  return userns === undefined ? {} : { idMap: { userNs: sandboxPaths(context.config, id).user } };
}

/**
 * Removes bundle, root file system, volumes of its own and writable layer; fine when they are gone. The layer, which may
 * hold any number of files, is deleted in the thread pool.
 */
export async function removeContainerFiles(context: RuntimeContext, containerId: string): Promise<void> {
  const { bundle, rootfs, volumes, data } = containerPaths(context.config, containerId);
  await unmountAsync(rootfs);
  for (const name of listDir(volumes)) await removeMountPoint(`${volumes}/${name}`);
  rmSync(bundle, { recursive: true, force: true });
  await rm(data, { recursive: true, force: true });
}

/** Unmounts and removes a mount point. Only an empty one: what is mounted there is not ours to delete. */
export async function removeMountPoint(path: string): Promise<void> {
  await unmountAsync(path);
  const isDirectory = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? true;
  try {
    if (isDirectory) rmdirSync(path);
    else rmSync(path);
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error;
  }
}
