import { readPciPlace } from '@amphipod/linux';
import { type Call, lockDevice } from './call.ts';
import { bringHome, type NetdevRecord, restoreNetdev } from './netdev.ts';
import { type DeviceRecord, readRecord, removeRecord } from './records.ts';
import { applySettings, differences } from './settings.ts';
import { findVirtualFunction, readVf } from './virtual-function.ts';

/** {@link release} under the device's lock, of what `isWanted`; false when there is no such record. */
export async function releaseOf(
  call: Call,
  address: string,
  isWanted: (record: DeviceRecord) => boolean,
): Promise<boolean> {
  using _lock = await lockDevice(call, address);
  const record = readRecord(call.places, address);
  if (record === undefined || !isWanted(record)) return false;
  await release(call, record);
  return true;
}

/**
 * Puts a virtual function back as it was before its pod had it, wherever its interface is by now; what is so already is not
 * touched. The record stays until all is done, so that the next DEL, ADD or GC can finish what this one could not.
 */
export async function release(call: Call, record: DeviceRecord): Promise<void> {
  const { host, places, log } = call;
  const { address } = record;
  // Unplugged, or the number of virtual functions was changed: there is nothing left to restore.
  if (readPciPlace(address, places)?.pfAddress === undefined) {
    log('warning', `${address} is gone`);
    removeRecord(places, address);
    return;
  }
  const vf = findVirtualFunction(host.rtnl, address, places);
  const hasNetdev = record.netdev !== undefined && !vf.isDpdk;
  const link = hasNetdev ? await bringHome(call, record as NetdevRecord) : undefined;
  const { mac, ...settings } = record.vf;
  const past = record.wanted.mac === undefined ? settings : { ...settings, mac };
  applySettings(host.rtnl, vf, differences(past, readVf(host.rtnl, vf)));
  if (link !== undefined) await restoreNetdev(call, link, record as NetdevRecord);
  removeRecord(places, address);
  log('info', `${address} is free`);
}
