import { realpathSync } from 'node:fs';
import { type MountInfo, mountInfo } from '@amphipod/linux';
import { CriError } from '../errors.ts';
import { type ContainerConfig, type Mount, MountPropagation } from '../gen/api.ts';
import type { OciMount } from '../oci/spec.ts';
import type { Sandbox } from '../store/records.ts';

export interface SandboxMountSources {
  shm: string;
  resolvConf: string;
  hostname: string;
  hosts: string;
}

/**
 * All mounts of a container in the order they are made: kernel file systems, the pod's shared files, then the volumes
 * that the kubelet asks for, parents before children.
 */
export function containerMounts(
  config: ContainerConfig,
  sandbox: Sandbox,
  sources: SandboxMountSources,
): OciMount[] {
  const security = config.linux?.securityContext;
  const privileged = security?.privileged ?? false;
  const readonlyRootfs = security?.readonlyRootfs ?? false;
  const asked = new Set(config.mounts.map(({ containerPath }) => containerPath.replace(/(?<=.)\/+$/, '')));
  const generated: OciMount[] = [
    ...kernelMounts(privileged),
    bind('/dev/shm', sandbox.namespaces.ipc === 'node' ? '/dev/shm' : sources.shm, false),
    bind('/etc/hosts', sources.hosts, readonlyRootfs),
    bind('/etc/hostname', sources.hostname, readonlyRootfs),
    bind('/etc/resolv.conf', sources.resolvConf, readonlyRootfs),
  ];
  const volumes = config.mounts.map((mount, index) => volumeMount(mount, index));
  volumes.sort((a, b) => depth(a.destination) - depth(b.destination));
  return [...generated.filter(({ destination }) => !asked.has(destination)), ...volumes];
}

/** The propagation that the container's root needs for its mounts (OCI rootfsPropagation). */
export function rootfsPropagation(config: ContainerConfig): string {
  const wanted = config.mounts.map(({ propagation }) => propagation);
  if (wanted.includes(MountPropagation.PROPAGATION_BIDIRECTIONAL)) return 'rshared';
  if (wanted.includes(MountPropagation.PROPAGATION_HOST_TO_CONTAINER)) return 'rslave';
  return 'rprivate';
}

function kernelMounts(privileged: boolean): OciMount[] {
  const mode = privileged ? 'rw' : 'ro';
  const quiet = ['nosuid', 'noexec', 'nodev'];
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: quiet },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: quiet },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...quiet, mode] },
    {
      destination: '/sys/fs/cgroup',
      type: 'cgroup',
      source: 'cgroup',
      options: [...quiet, 'relatime', mode],
    },
  ];
}

function bind(destination: string, source: string, readonly: boolean): OciMount {
  return { destination, type: 'bind', source, options: ['rbind', 'rprivate', readonly ? 'ro' : 'rw'] };
}

function volumeMount(mount: Mount, index: number): OciMount {
  const subject = `mount ${index} (${JSON.stringify(mount.containerPath)})`;
  const refuse = (why: string) => new CriError('invalid-argument', `${subject}: ${why}`);
  if (mount.image !== undefined)
    throw new CriError('unimplemented', `${subject}: image volumes are not supported yet`);
  if (mount.uidMappings.length > 0 || mount.gidMappings.length > 0) {
    throw new CriError('unimplemented', `${subject}: id-mapped mounts are not supported yet`);
  }
  if (!mount.containerPath.startsWith('/')) throw refuse('container_path must be absolute');
  if (mount.recursiveReadOnly) {
    if (!mount.readonly) throw refuse('recursive_read_only needs readonly');
    if (mount.propagation !== MountPropagation.PROPAGATION_PRIVATE) {
      throw refuse('recursive_read_only needs private propagation');
    }
  }
  const source = resolveSource(mount.hostPath, refuse);
  checkPropagation(mount.propagation, source, refuse);
  return {
    destination: mount.containerPath,
    type: 'bind',
    source,
    options: [
      'rbind',
      propagationOptions[mount.propagation] ?? 'rprivate',
      mount.recursiveReadOnly ? 'rro' : mount.readonly ? 'ro' : 'rw',
      ...mount.mountOptions,
    ],
  };
}

const propagationOptions: Record<number, string> = {
  [MountPropagation.PROPAGATION_PRIVATE]: 'rprivate',
  [MountPropagation.PROPAGATION_HOST_TO_CONTAINER]: 'rslave',
  [MountPropagation.PROPAGATION_BIDIRECTIONAL]: 'rshared',
};

function resolveSource(hostPath: string, refuse: (why: string) => CriError): string {
  if (!hostPath.startsWith('/')) throw refuse(`host_path ${JSON.stringify(hostPath)} must be absolute`);
  try {
    return realpathSync(hostPath);
  } catch {
    throw refuse(`host_path ${JSON.stringify(hostPath)} does not exist`);
  }
}

/** Mounts made by the container reach the host only through a shared mount; say so instead of losing them in silence. */
function checkPropagation(
  propagation: MountPropagation,
  source: string,
  refuse: (why: string) => CriError,
): void {
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

function depth(path: string): number {
  return path.split('/').filter((part) => part !== '').length;
}
