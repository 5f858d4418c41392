import { readdirSync, realpathSync, statSync } from 'node:fs';
import { isCode } from '@amphipod/linux';
import { CriError } from '../errors.ts';
import type { Device } from '../gen/api.ts';
import type { OciDevice, OciResources } from '../oci/spec.ts';

interface ContainerDevices {
  devices: OciDevice[];
  rules: NonNullable<OciResources['devices']>;
}

const denyAll = { allow: false, access: 'rwm' };

/** Device nodes and cgroup rules of a container. A host path may be a symlink (VOL-08) or a directory of devices. */
export function containerDevices(wanted: readonly Device[], privileged: boolean): ContainerDevices {
  if (privileged) return { devices: devicesBelow('/dev', '/dev'), rules: [{ allow: true, access: 'rwm' }] };
  const devices: OciDevice[] = [];
  const rules: ContainerDevices['rules'] = [denyAll];
  for (const { hostPath, containerPath, permissions } of wanted) {
    const subject = `device ${JSON.stringify(hostPath)}`;
    if (!/^[rwm]*$/.test(permissions)) {
      const why = `permissions ${JSON.stringify(permissions)}: must be letters of rwm`;
      throw new CriError('invalid-argument', `${subject}: ${why}`);
    }
    if (!containerPath.startsWith('/')) {
      const why = `container_path ${JSON.stringify(containerPath)}: must be absolute`;
      throw new CriError('invalid-argument', `${subject}: ${why}`);
    }
    const real = resolveDevice(hostPath);
    const found = statSync(real).isDirectory()
      ? devicesBelow(real, containerPath)
      : [deviceNode(real, containerPath)];
    for (const device of found) {
      if (device === undefined) throw new CriError('invalid-argument', `${subject}: not a device`);
      devices.push(device);
      const { type, major, minor } = device;
      rules.push({ allow: true, type, major, minor, access: permissions || 'rwm' });
    }
  }
  return { devices, rules };
}

function resolveDevice(hostPath: string): string {
  try {
    return realpathSync(hostPath);
  } catch (cause) {
    throw new CriError('invalid-argument', `device ${JSON.stringify(hostPath)}: does not exist`, { cause });
  }
}

// Made by the OCI runtime itself or mounted as file systems of their own.
const skipped = new Set(['pts', 'shm', 'fd', 'mqueue', 'console', '.lxc', '.lxd-mounts', '.udev']);

/** Symbolic links are left out: they are no devices of their own. */
function devicesBelow(dir: string, target: string): OciDevice[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    const path = `${dir}/${entry.name}`;
    const inside = `${target}/${entry.name}`;
    if (skipped.has(entry.name)) return [];
    try {
      if (entry.isDirectory()) return devicesBelow(path, inside);
      if (!entry.isCharacterDevice() && !entry.isBlockDevice()) return [];
      return [deviceNode(path, inside)!];
    } catch (error) {
      // Unplugged since the directory was read.
      if (isCode(error, 'ENOENT', 'ENXIO')) return [];
      throw error;
    }
  });
}

/** A device of the host under another name; undefined when it is none. */
export function deviceNode(hostPath: string, path: string): OciDevice | undefined {
  const stat = statSync(hostPath, { bigint: true });
  const type = stat.isBlockDevice() ? 'b' : stat.isCharacterDevice() ? 'c' : undefined;
  if (type === undefined) return undefined;
  // gnu_dev_major and gnu_dev_minor of glibc.
  const major = Number(((stat.rdev >> 8n) & 0xfffn) | ((stat.rdev >> 32n) & ~0xfffn));
  const minor = Number((stat.rdev & 0xffn) | ((stat.rdev >> 12n) & ~0xffn));
  return {
    path,
    type,
    major,
    minor,
    fileMode: Number(stat.mode & 0o7777n),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
  };
}
