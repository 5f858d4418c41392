import { type MountInfo, mountInfo } from '@amphipod/linux';
import { CriError } from '../errors.ts';
import { type Mount, MountPropagation } from '../gen/api.ts';
import type { OciMount } from '../oci/spec.ts';
import type { Container, Sandbox } from '../store/records.ts';
import type { HostPath, HostPaths } from './host-paths.ts';

/** What belongs together when a container is made. */
export interface ContainerInPod {
  sandbox: Sandbox;
  container: Container;
}

/** Makes an error that names the mount. */
export type Refuse = (why: string, options?: { cause?: unknown }) => CriError;

/** For mount number `index` of a container. */
export function refuseMount(mount: Mount, index: number): Refuse {
  const subject = `mount ${index} (${JSON.stringify(mount.containerPath)})`;
  return (why, options) => new CriError('invalid-argument', `${subject}: ${why}`, options);
}

/**
 * A mount that the kubelet asks for, for the OCI runtime.
 * @param source where its content is: {@link hostSource}, or what was mounted for it
 * @throws CriError invalid-argument naming mount and field
 */
export function volumeMount(mount: Mount, source: string, refuse: Refuse): OciMount {
  if (!mount.containerPath.startsWith('/')) throw refuse('container_path must be absolute');
  if (mount.recursiveReadOnly) {
    if (!mount.readonly) throw refuse('recursive_read_only needs readonly');
    if (mount.propagation !== MountPropagation.PROPAGATION_PRIVATE) {
      throw refuse('recursive_read_only needs private propagation');
    }
  }
  const propagation = propagationOptions[mount.propagation];
  if (propagation === undefined) throw refuse(`propagation ${mount.propagation} is unknown`);
  return {
    destination: mount.containerPath,
    type: 'bind',
    source,
    options: [
      'rbind',
      propagation,
      mount.recursiveReadOnly ? 'rro' : mount.readonly ? 'ro' : 'rw',
      ...extraOptions(mount.mountOptions, refuse),
    ],
  };
}

function extraOptions(options: readonly string[], refuse: Refuse): readonly string[] {
  for (const option of options) {
    if (!['noexec', 'nodev', 'nosuid'].includes(option))
      throw refuse(`mount_options ${JSON.stringify(option)}: must be noexec, nodev or nosuid`);
  }
  return options;
}

const propagationOptions: Record<number, string> = {
  [MountPropagation.PROPAGATION_PRIVATE]: 'rprivate',
  [MountPropagation.PROPAGATION_HOST_TO_CONTAINER]: 'rslave',
  [MountPropagation.PROPAGATION_BIDIRECTIONAL]: 'rshared',
};

/**
 * What `host_path` is now, its links followed: a file that is replaced later stays the old one in the container, a directory
 * shows what changes in it (field case VOL-02).
 */
export async function hostSource(
  { hostPath, propagation }: Mount,
  refuse: Refuse,
  { hostPaths, signal }: { hostPaths: HostPaths; signal: AbortSignal },
): Promise<HostPath> {
  const subject = `host_path ${JSON.stringify(hostPath)}`;
  if (!hostPath.startsWith('/')) throw refuse(`${subject} must be absolute`);
  let source: HostPath;
  try {
    source = await hostPaths.resolve(hostPath, signal);
  } catch (cause) {
    if (!signal.aborted) throw refuse(`${subject} does not exist`);
    const { message } = refuse(`${subject} does not answer`);
    throw new CriError('deadline-exceeded', message, { cause });
  }
  checkPropagation(propagation, source.path, refuse);
  return source;
}

/** Mounts made by the container reach the host only through a shared mount; say so instead of losing them in silence. */
function checkPropagation(propagation: MountPropagation, source: string, refuse: Refuse): void {
  if (propagation === MountPropagation.PROPAGATION_PRIVATE) return;
  const flags = mountOf(source).propagation.map((flag) => flag.split(':')[0]);
  if (propagation === MountPropagation.PROPAGATION_BIDIRECTIONAL && !flags.includes('shared')) {
    throw refuse(`host_path ${JSON.stringify(source)} is not on a shared mount`);
  }
  if (!flags.includes('shared') && !flags.includes('master')) {
    throw refuse(`host_path ${JSON.stringify(source)} is on neither a shared nor a slave mount`);
  }
}

function mountOf(path: string, mounts: MountInfo[] = mountInfo()): MountInfo {
  const holds = ({ mountPoint }: MountInfo) =>
    mountPoint === '/' || path === mountPoint || path.startsWith(`${mountPoint}/`);
  // The longest mount point wins, and of equal ones the last: it covers the others.
  return mounts
    .filter(holds)
    .reduce((best, mount) => (mount.mountPoint.length >= best.mountPoint.length ? mount : best));
}
