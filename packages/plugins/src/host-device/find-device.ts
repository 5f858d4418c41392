import { readdirSync } from 'node:fs';
import { CniError } from '@amphipod/cni';
import { type Link, linkFind, linkList, type Rtnl } from '@amphipod/netlink';
import { parseDeviceAlias } from '../lib/device-alias.ts';
import { auxDir, type HostDeviceConfig, pciDir } from './config.ts';

/** The link that a configuration means. @param sysfs other than /sys in tests @throws CniError `failed to find host device: …` */
export function findDevice(
  rtnl: Rtnl,
  config: HostDeviceConfig,
  { sysfs = '/sys' }: { sysfs?: string } = {},
): Link {
  const { device, hwaddr, kernelPath, pciAddress, auxDevice } = config;
  if (device !== undefined) return linkFind(rtnl, device) ?? findStray(rtnl, device);
  if (hwaddr !== undefined) return findByMac(rtnl, hwaddr);
  if (kernelPath !== undefined) return findInDir(rtnl, netDirOfPath(kernelPath));
  if (pciAddress !== undefined) return findInDir(rtnl, netDirOfPci(pciDir(sysfs, pciAddress)));
  return findInDir(rtnl, `${auxDir(sysfs, auxDevice!)}/net`);
}

function notFound(why: string, cause?: unknown): CniError {
  return new CniError('internal', `failed to find host device: ${why}`, { cause });
}

/** One that came back from a dead pod under the pod's name. */
function findStray(rtnl: Rtnl, device: string): Link {
  const stray = linkList(rtnl).find(({ alias }) => parseDeviceAlias(alias)?.hostName === device);
  if (stray === undefined) throw notFound(`Link not found: ${JSON.stringify(device)}`);
  return stray;
}

function findByMac(rtnl: Rtnl, hwaddr: string): Link {
  const digits = (mac: string) => mac.toLowerCase().replaceAll(/[:.-]/g, '');
  const wanted = digits(hwaddr);
  // 6 bytes; 8 (EUI-64); 20 (InfiniBand).
  if (!/^([0-9a-f]{12}|[0-9a-f]{16}|[0-9a-f]{40})$/.test(wanted)) {
    throw notFound(`failed to parse MAC address ${JSON.stringify(hwaddr)}`);
  }
  const link = linkList(rtnl).find(({ mac }) => digits(mac) === wanted);
  if (link === undefined) throw notFound(`no interface has hardware address ${hwaddr}`);
  return link;
}

function netDirOfPath(path: string): string {
  if (!path.startsWith('/sys/devices/') || path.split('/').includes('..')) {
    throw notFound(
      `kernel device path ${JSON.stringify(path)} must be absolute and begin with /sys/devices/`,
    );
  }
  return `${path}/net`;
}

/** Virtio devices have their interface one level further down. */
function netDirOfPci(dir: string): string {
  let entries: string[];
  try {
    entries = readdirSync(dir);
  } catch (cause) {
    throw notFound(`failed to read directory ${dir}`, cause);
  }
  if (entries.includes('net')) return `${dir}/net`;
  const virtio = entries.find((entry) => entry.startsWith('virtio'));
  if (virtio === undefined)
    throw notFound(`no net directory under pci device ${dir.slice(dir.lastIndexOf('/') + 1)}`);
  return `${dir}/${virtio}/net`;
}

function findInDir(rtnl: Rtnl, dir: string): Link {
  let name: string | undefined;
  try {
    [name] = readdirSync(dir);
  } catch (cause) {
    throw notFound(`failed to read directory ${dir}: ${(cause as Error).message}`, cause);
  }
  const link = name === undefined ? undefined : linkFind(rtnl, name);
  if (link === undefined) throw notFound(`failed to find network device in path ${dir}`);
  return link;
}
