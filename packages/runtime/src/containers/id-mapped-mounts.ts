import { mkdirSync, writeFileSync } from 'node:fs';
import { mountIdMapped } from '@amphipod/linux';
import type { RuntimeContext } from '../context.ts';
import { CriError } from '../errors.ts';
import { type IDMapping, type Mount, MountPropagation } from '../gen/api.ts';
import { sandboxPaths } from '../pods/paths.ts';
import type { Container, Sandbox } from '../store/records.ts';
import type { HostPath } from './host-paths.ts';
import { containerPaths } from './paths.ts';
import { removeMountPoint } from './rootfs.ts';
import type { ContainerInPod, Refuse } from './volume-mount.ts';

/** True for a mount that the pod's users are to see with their own ids. @throws CriError where they are not the pod's */
export function wantsIdMap(sandbox: Sandbox, mount: Mount, refuse: Refuse): boolean {
  if (mount.uidMappings.length === 0 && mount.gidMappings.length === 0) return false;
  if (sandbox.userns === undefined) throw refuse('id mappings need a pod with a user namespace');
  const { uids, gids } = sandbox.userns;
  for (const [field, given, pod] of [
    ['uidMappings', mount.uidMappings, uids],
    ['gidMappings', mount.gidMappings, gids],
  ] as const) {
    if (JSON.stringify(given.map(toIdMapping)) !== JSON.stringify(pod))
      throw refuse(`${field} must be those of the pod's user namespace`);
  }
  // What would be mounted inside would have to show on the host with other owners.
  if (mount.propagation === MountPropagation.PROPAGATION_BIDIRECTIONAL)
    throw refuse('a mount with id mappings cannot have bidirectional propagation');
  return true;
}

/** CRI's message as a line of a map. */
function toIdMapping({ containerId, hostId, length }: IDMapping) {
  return { containerId, hostId, length };
}

/**
 * Notes that `source` is to be mounted with the pod's ids, and tries it: a file system that cannot is told of now.
 * @returns where it will be while the container is started
 */
export async function planIdMappedMount(
  context: RuntimeContext,
  { sandbox, container }: ContainerInPod,
  { source, index, refuse }: { source: HostPath; index: number; refuse: Refuse },
): Promise<string> {
  const { volumes } = containerPaths(context.config, container.id);
  const target = `${volumes}/mapped-${index}`;
  mkdirSync(volumes, { recursive: true, mode: 0o711 });
  const planned = { source: source.path, target, isDirectory: source.isDirectory };
  try {
    mountMapped(context, sandbox, planned);
  } catch (cause) {
    throw refuse(`host_path ${JSON.stringify(source.path)} cannot be id-mapped`, { cause });
  } finally {
    await removeMountPoint(target);
  }
  context.store.containers.update(container, {
    idMappedMounts: [...(container.idMappedMounts ?? []), planned],
  });
  return target;
}

/**
 * Has the container's id-mapped mounts there while `work` runs. Not longer: the OCI runtime makes mounts of its own of them,
 * and while ours were there the kubelet could not unmount the volume.
 */
export async function withIdMappedMounts<T>(
  context: RuntimeContext,
  container: Container,
  work: () => Promise<T>,
): Promise<T> {
  const mounts = container.idMappedMounts ?? [];
  if (mounts.length === 0) return work();
  const sandbox = context.store.sandboxes.get(container.sandboxId);
  if (sandbox === undefined) throw new CriError('not-found', `find sandbox ${container.sandboxId}`);
  const removeAll = async () => {
    for (const { target } of mounts) await removeMountPoint(target);
  };
  // What a killed daemon left.
  await removeAll();
  try {
    for (const mount of mounts) mountMapped(context, sandbox, mount);
    return await work();
  } finally {
    await removeAll();
  }
}

function mountMapped(
  context: RuntimeContext,
  sandbox: Sandbox,
  { source, target, isDirectory }: NonNullable<Container['idMappedMounts']>[number],
): void {
  if (isDirectory) mkdirSync(target);
  else writeFileSync(target, '', { flag: 'wx' });
  // What is mounted below comes along: the owners on the host stay as they are (field case VOL-07).
  mountIdMapped(source, target, { userNs: sandboxPaths(context.config, sandbox.id).user, recursive: true });
}
