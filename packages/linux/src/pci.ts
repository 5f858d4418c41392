import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isCode } from './errors.ts';

/** `/sys`, or what stands for it in tests. */
export interface Sysfs {
  sysfs?: string;
}

/** Who drives a PCI device, and what it is to its card. */
export interface PciPlace {
  /** Driver that the device is bound to. */
  driver?: string;
  /** Of a virtual function: its physical one, and its place among that one's. */
  pfAddress?: string;
  vfIndex?: number;
}

/** A PCI device as sysfs describes it (Documentation/ABI/testing/sysfs-bus-pci). */
export interface PciDevice extends PciPlace {
  /** `0000:01:10.0` */
  address: string;
  /** Four digits in hexadecimal: `8086`. */
  vendor: string;
  device: string;
  /** Six digits: `020000` is an Ethernet controller. */
  class: string;
  /** Absent where the machine has but one node, or does not tell. */
  numaNode?: number;
  iommuGroup?: string;
  /** Of a physical function: how many virtual ones there can be, and are. */
  totalVfs?: number;
  vfCount?: number;
}

/** True for `0000:01:10.0`. */
export function isPciAddress(text: string): boolean {
  return /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/.test(text);
}

function dirOf(address: string, { sysfs = '/sys' }: Sysfs): string {
  return join(sysfs, 'bus/pci/devices', address);
}

/** Every PCI device, by address. */
export function listPciDevices(where: Sysfs = {}): PciDevice[] {
  const addresses = namesIn(join(where.sysfs ?? '/sys', 'bus/pci/devices')).sort();
  return addresses.map((address) => readPciDevice(address, where)).filter((found) => found !== undefined);
}

/** Undefined when there is no such device. */
export function readPciDevice(address: string, where: Sysfs = {}): PciDevice | undefined {
  const dir = dirOf(address, where);
  if (!isPciAddress(address) || !existsSync(dir)) return undefined;
  const iommuGroup = linkName(join(dir, 'iommu_group'));
  const numaNode = readNumber(join(dir, 'numa_node'));
  const totalVfs = readNumber(join(dir, 'sriov_totalvfs'));
  const vfCount = readNumber(join(dir, 'sriov_numvfs'));
  return {
    address,
    ...{ vendor: readHex(dir, 'vendor'), device: readHex(dir, 'device'), class: readHex(dir, 'class') },
    ...readPciPlace(address, where),
    // -1: the firmware does not say.
    ...(numaNode !== undefined && numaNode >= 0 && { numaNode }),
    ...(iommuGroup !== undefined && { iommuGroup }),
    ...(totalVfs !== undefined && { totalVfs }),
    ...(vfCount !== undefined && { vfCount }),
  };
}

/** The part of {@link readPciDevice} that is needed for each pod: a few links. Undefined when there is no such device. */
export function readPciPlace(address: string, where: Sysfs = {}): PciPlace | undefined {
  const dir = dirOf(address, where);
  if (!isPciAddress(address) || !existsSync(dir)) return undefined;
  const driver = linkName(join(dir, 'driver'));
  const pfAddress = linkName(join(dir, 'physfn'));
  const vfIndex = pfAddress === undefined ? undefined : indexOfVf(address, dirOf(pfAddress, where));
  return {
    ...(driver !== undefined && { driver }),
    ...(pfAddress !== undefined && { pfAddress }),
    ...(vfIndex !== undefined && { vfIndex }),
  };
}

function indexOfVf(address: string, pfDir: string): number | undefined {
  for (let index = 0; ; index++) {
    const found = linkName(join(pfDir, `virtfn${index}`));
    if (found === undefined) return undefined;
    if (found === address) return index;
  }
}

/** Addresses of the virtual functions of a physical one, in their order. */
export function vfAddresses(pfAddress: string, where: Sysfs = {}): string[] {
  const dir = dirOf(pfAddress, where);
  const found: string[] = [];
  for (const name of namesIn(dir)) {
    const index = /^virtfn(\d+)$/.exec(name)?.[1];
    const address = index === undefined ? undefined : linkName(join(dir, name));
    if (address !== undefined) found[Number(index)] = address;
  }
  return found;
}

/** Driver of a device; undefined when it has none. */
export function pciDriver(address: string, where: Sysfs = {}): string | undefined {
  return linkName(join(dirOf(address, where), 'driver'));
}

/**
 * Network interfaces of a device: those in the network namespace that sysfs was mounted in. Virtio devices have theirs one level
 * further down.
 */
export function pciNetdevs(address: string, where: Sysfs = {}): string[] {
  const dir = dirOf(address, where);
  const virtio = namesIn(dir).find((name) => /^virtio\d+$/.test(name));
  return namesIn(join(dir, virtio === undefined ? 'net' : `${virtio}/net`)).sort();
}

/** The interface of a physical function; not those that stand for its virtual functions where it is a switch (`pf0vf1`). */
export function pfNetdev(pfAddress: string, where: Sysfs = {}): string | undefined {
  const names = pciNetdevs(pfAddress, where);
  if (names.length < 2) return names[0];
  const dir = dirOf(pfAddress, where);
  return names.find((name) => !/vf\d+$/.test(readText(join(dir, 'net', name, 'phys_port_name')) ?? ''));
}

/** Sets how many virtual functions there are. A number other than 0 can only be changed by way of 0. @throws as writeFileSync */
export function setVfCount(pfAddress: string, count: number, where: Sysfs = {}): void {
  const file = join(dirOf(pfAddress, where), 'sriov_numvfs');
  const before = readNumber(file);
  if (before === count) return;
  if (before !== 0 && count !== 0) writeFileSync(file, '0');
  writeFileSync(file, `${count}`);
}

/**
 * Gives a device to a driver, whatever has it now: `driverctl set-override`. Undefined: to the one that the kernel would choose.
 * @throws as writeFileSync: ENOENT without such a driver
 */
export function pciBindDriver(address: string, driver: string | undefined, where: Sysfs = {}): void {
  const { sysfs = '/sys' } = where;
  const dir = dirOf(address, where);
  writeFileSync(join(dir, 'driver_override'), driver === undefined ? '\n' : driver);
  try {
    writeFileSync(join(dir, 'driver/unbind'), address);
  } catch (error) {
    if (!isCode(error, 'ENOENT', 'ENODEV')) throw error;
  }
  writeFileSync(join(sysfs, 'bus/pci/drivers_probe'), address);
}

/** Takes a device from its driver and gives it back: its interface is made anew, on the host. @throws as writeFileSync */
export function pciRebind(address: string, where: Sysfs = {}): void {
  const driver = join(where.sysfs ?? '/sys', 'bus/pci/drivers', pciDriver(address, where) ?? '');
  writeFileSync(join(driver, 'unbind'), address);
  writeFileSync(join(driver, 'bind'), address);
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

function linkName(path: string): string | undefined {
  try {
    return basename(readlinkSync(path));
  } catch (error) {
    if (isCode(error, 'ENOENT', 'EINVAL', 'ENOTDIR')) return undefined;
    throw error;
  }
}

/** EOPNOTSUPP and EINVAL: a property that this interface has no use for. */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR', 'EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENODEV')) return undefined;
    throw error;
  }
}

function readNumber(path: string): number | undefined {
  const text = readText(path);
  return text !== undefined && /^-?\d+$/.test(text) ? Number(text) : undefined;
}

function readHex(dir: string, name: string): string {
  return (readText(join(dir, name)) ?? '').replace(/^0x/, '');
}
