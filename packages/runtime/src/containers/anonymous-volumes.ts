import { chmodSync, chownSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { normalize } from 'node:path/posix';
import type { OciImageConfig } from '@amphipod/images';
import { isCode, realPathInRoot } from '@amphipod/linux';
import type { RuntimeContext } from '../context.ts';
import { runProgram } from '../oci/run-runtime.ts';
import type { OciMount } from '../oci/spec.ts';
import { podRoot } from '../pods/user-namespace.ts';
import { containerPaths } from './paths.ts';
import type { ContainerInPod } from './volume-mount.ts';

/**
 * The directories that the image declares as VOLUMEs and that no mount of the kubelet takes the place of: each is a
 * directory of the container's own, writable also where the root is not, with the image's content copied into it. They go
 * with the container.
 */
export async function anonymousVolumes(
  context: RuntimeContext,
  { sandbox, container }: ContainerInPod,
  { image, signal }: { image: OciImageConfig; signal: AbortSignal },
): Promise<OciMount[]> {
  const { rootfs, anonymousVolumes: parent } = containerPaths(context.config, container.id);
  const inside = (path: string) => resolvedPath(rootfs, path);
  const wanted = new Set(Object.keys(image.Volumes ?? {}).map(inside));
  const taken = new Set(
    wanted.size === 0 ? [] : container.config.mounts.map(({ containerPath }) => inside(containerPath)),
  );
  const mounts: OciMount[] = [];
  for (const [index, destination] of [...wanted].entries()) {
    // "/" would hide the image itself.
    if (taken.has(destination) || destination === '/') continue;
    const source = `${parent}/${index}`;
    mkdirSync(source, { recursive: true, mode: 0o755 });
    await copyContent(rootfs, destination, { source, owner: podRoot(sandbox), signal });
    mounts.push({ destination, type: 'bind', source, options: ['rbind', 'rprivate', 'rw'] });
  }
  return mounts;
}

async function copyContent(
  rootfs: string,
  path: string,
  { source, owner, signal }: { source: string; owner: [uid: number, gid: number]; signal: AbortSignal },
): Promise<void> {
  const inImage = directoryIn(rootfs, path);
  if (inImage === undefined) return chownSync(source, ...owner);
  const { uid, gid, mode } = statSync(inImage);
  chownSync(source, uid, gid);
  chmodSync(source, mode & 0o7777);
  if (readdirSync(inImage).length === 0) return;
  // Links, devices, holes, times and extended attributes come along; "." keeps the name of the directory out.
  await runProgram(['cp', '-a', '--', `${inImage}/.`, source], { signal });
}

/** Nothing of the container runs yet, so what is found stays what it is. */
function directoryIn(rootfs: string, path: string): string | undefined {
  try {
    const found = realPathInRoot(rootfs, path);
    return statSync(found).isDirectory() ? found : undefined;
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined;
    throw error;
  }
}

/** Where a path of the container leads to: two that lead to one place are one. */
function resolvedPath(rootfs: string, path: string): string {
  const clean = normalize(`/${path}`).replace(/(?<=.)\/$/, '');
  try {
    return realPathInRoot(rootfs, clean).slice(rootfs.length) || '/';
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return clean;
    throw error;
  }
}
