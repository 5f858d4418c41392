import { CniError } from '@amphipod/cni';
import { pciNetdevs, pfNetdev, readPciPlace } from '@amphipod/linux';
import { linkFind, type Rtnl, type VfInfo, vfList } from '@amphipod/netlink';
import type { Places } from './places.ts';

/** A virtual function, found by its PCI address. */
export interface VirtualFunction {
  address: string;
  /** Its place among those of its physical function. */
  index: number;
  pfAddress: string;
  pfName: string;
  pfIndex: number;
  /** Its interface, when that is on the host. */
  netdev: string | undefined;
  /** A driver for programs in user space has it: there is no interface. */
  isDpdk: boolean;
}

const dpdkDrivers: readonly string[] = ['vfio-pci', 'uio_pci_generic', 'igb_uio'];

/** @throws CniError internal, with what is wrong with the device */
export function findVirtualFunction(rtnl: Rtnl, address: string, { sysfs }: Places): VirtualFunction {
  const refuse = (why: string): never => {
    throw new CniError('internal', `failed to find virtual function ${address}: ${why}`);
  };
  const device = readPciPlace(address, { sysfs }) ?? refuse('there is no such PCI device');
  const { pfAddress = refuse('the device is no virtual function'), vfIndex, driver } = device;
  const pfName =
    pfNetdev(pfAddress, { sysfs }) ?? refuse(`its physical function ${pfAddress} has no interface here`);
  const pf = linkFind(rtnl, pfName) ?? refuse(`its physical function's interface ${pfName} is not here`);
  return {
    address,
    index: vfIndex ?? refuse(`it is not among those of ${pfAddress}`),
    ...{ pfAddress, pfName, pfIndex: pf.ifIndex },
    netdev: pciNetdevs(address, { sysfs })[0],
    isDpdk: driver !== undefined && dpdkDrivers.includes(driver),
  };
}

/** What the physical function says of it now. @throws CniError when the driver says nothing; NetlinkError */
export function readVf(rtnl: Rtnl, { address, pfIndex, pfName, index }: VirtualFunction): VfInfo {
  const found = vfList(rtnl, pfIndex).find((vf) => vf.index === index);
  if (found !== undefined) return found;
  throw new CniError('internal', `failed to read settings of ${address}: ${pfName} has no vf ${index}`);
}
