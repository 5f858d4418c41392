import {
  isPciAddress,
  listPciDevices,
  pfNetdev,
  readPciDevice,
  setVfCount,
  vfAddresses,
} from '@amphipod/linux';
import { linkGet, linkSet, openRtnl } from '@amphipod/netlink';
import { deviceHolder } from '@amphipod/plugins';
import { errorText } from '../errors.ts';
import type { Log } from '../log.ts';

/**
 * Brings cards up and makes the virtual functions that are declared for them. A card whose functions a pod has is left as it is: the
 * number can only be changed by way of none. What does not work is logged, and the next card is tried.
 */
export function ensureVfs(vfCounts: Record<string, number>, log: Log): void {
  for (const [pf, count] of Object.entries(vfCounts)) {
    try {
      ensureOne(pf, count, log);
    } catch (error) {
      log.error('make virtual functions', { pf, count, error: errorText(error) });
    }
  }
}

function ensureOne(pf: string, count: number, log: Log): void {
  const address = isPciAddress(pf)
    ? pf
    : listPciDevices().find((each) => pfNetdev(each.address) === pf)?.address;
  const device = address === undefined ? undefined : readPciDevice(address);
  if (device?.totalVfs === undefined)
    throw new Error('there is no such card, or it has no virtual functions');
  if (count > device.totalVfs) throw new Error(`it can have ${device.totalVfs} at most`);
  const name = pfNetdev(device.address);
  if (name !== undefined) {
    using rtnl = openRtnl();
    // Some drivers want the card up before.
    linkSet(rtnl, linkGet(rtnl, name).ifIndex, { up: true });
  }
  if (device.vfCount === count) return;
  const held = vfAddresses(device.address).filter((vf) => deviceHolder(vf)?.isAlive === true);
  if (held.length > 0) throw new Error(`it has ${device.vfCount}, and pods have ${held.join(', ')}`);
  setVfCount(device.address, count);
  log.info('made virtual functions', { pf, count });
}
