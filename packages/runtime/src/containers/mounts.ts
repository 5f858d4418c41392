import { normalize } from 'node:path/posix';
import { type ContainerConfig, MountPropagation } from '../gen/api.ts';
import type { OciMount } from '../oci/spec.ts';
import type { Sandbox } from '../store/records.ts';

export interface SandboxMountSources {
  shm: string;
  resolvConf: string;
  hostname: string;
  hosts: string;
}

/** What the mounts of one container are made of. */
export interface MountSources {
  pod: SandboxMountSources;
  /** The volumes that the kubelet asks for, and the image's VOLUMEs. */
  volumes: readonly OciMount[];
}

/**
 * All mounts of a container in the order they are made: kernel file systems, the pod's shared files, then the volumes,
 * parents before children.
 */
export function containerMounts(
  config: ContainerConfig,
  sandbox: Sandbox,
  { pod: sources, volumes }: MountSources,
): OciMount[] {
  const security = config.linux?.securityContext;
  const privileged = security?.privileged ?? false;
  const readonlyRootfs = security?.readonlyRootfs ?? false;
  const asked = new Set(volumes.map(({ destination }) => normalize(destination).replace(/(?<=.)\/$/, '')));
  const generated: OciMount[] = [
    ...kernelMounts(privileged),
    bind('/dev/shm', sandbox.namespaces.ipc === 'node' ? '/dev/shm' : sources.shm, false),
    bind('/etc/hosts', sources.hosts, readonlyRootfs),
    bind('/etc/hostname', sources.hostname, readonlyRootfs),
    bind('/etc/resolv.conf', sources.resolvConf, readonlyRootfs),
  ];
  return [
    ...generated.filter(({ destination }) => !asked.has(destination)),
    ...volumes.toSorted((a, b) => depth(a.destination) - depth(b.destination)),
  ];
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

function depth(path: string): number {
  return path.split('/').filter((part) => part !== '').length;
}
