import { existsSync } from 'node:fs';
import { listPciDevices, type PciDevice, pciNetdevs, pfNetdev } from '@amphipod/linux';
import { type DevicePool, type DeviceSelector, parseRoot } from './pool-config.ts';

/** A device that a pod can have. */
export interface PoolDevice extends PciDevice {
  /** Interface of its physical function, or its own where it has none of these. */
  pfName?: string;
  isHealthy: boolean;
  /** Also to be given to the container, by a selector of its pool. */
  needsVhostNet: boolean;
}

export interface DiscoverOptions {
  sysfs?: string;
  /** Up, by the interface's name: a card that is down carries nothing. */
  isUp(netdev: string): boolean;
}

/** PCI class 02: network controllers. */
const isNetworkController = ({ class: code }: PciDevice) => code.startsWith('02');

/** The devices of a pool, by address. */
export function discoverDevices(pool: DevicePool, { isUp, ...where }: DiscoverOptions): PoolDevice[] {
  const found: PoolDevice[] = [];
  for (const device of listPciDevices(where).filter(isNetworkController)) {
    // Whoever has a physical function has all its virtual ones.
    if ((device.vfCount ?? 0) > 0) continue;
    const pfName =
      device.pfAddress === undefined
        ? pciNetdevs(device.address, where)[0]
        : pfNetdev(device.pfAddress, where);
    const selector = pool.selectors.find((each) => takes(each, device, pfName));
    if (selector === undefined) continue;
    found.push({
      ...device,
      ...(pfName !== undefined && { pfName }),
      isHealthy: isHealthy(device, pfName, isUp),
      needsVhostNet: selector.needVhostNet,
    });
  }
  return found;
}

function takes(selector: DeviceSelector, device: PciDevice, pfName: string | undefined): boolean {
  const { vendors, devices, drivers, pciAddresses, pfNames, rootDevices } = selector;
  const has = (list: string[] | undefined, value: string | undefined) =>
    list === undefined || (value !== undefined && list.includes(value));
  return (
    has(vendors, device.vendor) &&
    has(devices, device.device) &&
    has(drivers, device.driver) &&
    has(pciAddresses, device.address) &&
    isBelow(pfNames, pfName, device.vfIndex) &&
    isBelow(rootDevices, device.pfAddress ?? device.address, device.vfIndex)
  );
}

function isBelow(list: string[] | undefined, root: string | undefined, index: number | undefined): boolean {
  if (list === undefined) return true;
  return list.some((text) => {
    const wanted = parseRoot(text);
    if (wanted?.root !== root) return false;
    return wanted?.indexes === undefined || (index !== undefined && wanted.indexes.has(index));
  });
}

/** A virtual function is as well as its card: bound to a driver, and the card up. */
function isHealthy(
  device: PciDevice,
  pfName: string | undefined,
  isUp: (netdev: string) => boolean,
): boolean {
  if (device.driver === undefined) return false;
  return device.pfAddress === undefined || (pfName !== undefined && isUp(pfName));
}

/** Device files that a program in user space needs for these devices, as far as they are there. */
export function deviceFiles(devices: readonly PoolDevice[]): string[] {
  const files = new Set<string>();
  for (const { driver, iommuGroup, needsVhostNet } of devices) {
    if (driver === 'vfio-pci' && iommuGroup !== undefined) {
      files.add('/dev/vfio/vfio').add(`/dev/vfio/${iommuGroup}`);
    }
    if (needsVhostNet) files.add('/dev/vhost-net').add('/dev/net/tun');
  }
  return [...files].filter((file) => existsSync(file));
}
