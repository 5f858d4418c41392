import { CniError } from '@amphipod/cni';
import { namespaceId, vfAddresses } from '@amphipod/linux';
import { type Link, linkGet, randomMac, type VfInfo, vfList } from '@amphipod/netlink';
import type { PluginHost } from '../lib/host.ts';
import { ownerTag } from '../lib/owner.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { type Call, isSameOwner, lockDevice } from './call.ts';
import { requireDeviceId, type SriovConfig } from './config.ts';
import { bootId, type DeviceRecord, foreignNetns, isAlive, readRecord, writeRecord } from './records.ts';
import { release, releaseOf } from './release.ts';
import { applySettings, wantedSettings } from './settings.ts';
import { findVirtualFunction, readVf, type VirtualFunction } from './virtual-function.ts';

const NO_MAC = '00:00:00:00:00:00';

/** A virtual function that is this attachment's, as it was found. */
export interface Claimed {
  vf: VirtualFunction;
  info: VfInfo;
  /** Undefined where a driver for user space has it. */
  netdev: Link | undefined;
}

/**
 * Makes the virtual function this attachment's: notes whose it is and what it was like. What a pod left that ended without DEL is
 * put in order first. @throws CniError when another pod has it
 */
export async function claim(call: Call, config: SriovConfig): Promise<Claimed> {
  const { request, host, places } = call;
  const address = requireDeviceId(config);
  using _lock = await lockDevice(call, address);
  await clearPast(call, address);
  const vf = findVirtualFunction(host.rtnl, address, places);
  const info = readVf(host.rtnl, vf);
  const { index: _index, ...settings } = info;
  const netdev = vf.isDpdk ? undefined : netdevOf(host, vf);
  writeRecord(places, {
    address,
    owner: ownerOf(request),
    netns: request.netns,
    netnsId: namespaceId(request.netns),
    bootId: bootId(),
    vf: settings,
    wanted: wantedSettings(config),
    ...(netdev !== undefined && { netdev: describeNetdev(netdev) }),
  });
  return { vf, info, netdev };
}

async function clearPast(call: Call, address: string): Promise<void> {
  const { request, places, log } = call;
  const past = readRecord(places, address);
  if (past === undefined) {
    const netns = foreignNetns(places, address);
    if (netns !== undefined) throw alreadyAllocated(address, `by sriov-cni to ${netns}`);
    return;
  }
  const isMine = isSameOwner(past.owner, ownerOf(request));
  if (isAlive(past) && !isMine) throw alreadyAllocated(address, `to "${ownerTag(past.owner)}"`);
  log('warning', `${address} was still with "${ownerTag(past.owner)}", whose DEL never came: put in order`);
  await release(call, past);
}

function alreadyAllocated(address: string, to: string): CniError {
  return new CniError('internal', `pci address ${address} is already allocated ${to}`);
}

function netdevOf({ rtnl }: PluginHost, { address, netdev }: VirtualFunction): Link {
  if (netdev !== undefined) return linkGet(rtnl, netdev);
  throw new CniError(
    'internal',
    `virtual function ${address} has no network interface here and no driver for user space`,
  );
}

function describeNetdev({ name, mac, mtu, flags }: Link): NonNullable<DeviceRecord['netdev']> {
  return { name, mac, mtu, up: flags.up };
}

/**
 * Gives the function a hardware address that no other of its card has: one that a pod without DEL left is taken away there
 * (field case SRI-04). @throws CniError when another pod has it
 */
export async function takeMac(call: Call, vf: VirtualFunction, mac: string): Promise<void> {
  const { host } = call;
  using _lock = await lockDevice(call, vf.pfAddress);
  for (const other of vfList(host.rtnl, vf.pfIndex)) {
    if (other.index !== vf.index && other.mac === mac) await takeFromOther(call, vf, other);
  }
  if (readVf(host.rtnl, vf).mac !== mac) applySettings(host.rtnl, vf, { mac });
}

async function takeFromOther(call: Call, vf: VirtualFunction, { index, mac }: VfInfo): Promise<void> {
  const { host, places, log } = call;
  const address = vfAddresses(vf.pfAddress, places)[index];
  if (address === undefined) return;
  const record = readRecord(places, address);
  if ((record !== undefined && isAlive(record)) || foreignNetns(places, address) !== undefined) {
    const by = record === undefined ? '' : `, which "${ownerTag(record.owner)}" has`;
    throw new CniError('internal', `hardware address ${mac} is that of ${address} (vf ${index})${by}`, {
      key: 'mac',
    });
  }
  log('warning', `hardware address ${mac} was still on ${address}, which nobody has: taken away there`);
  if (record !== undefined) await releaseOf(call, address, () => true);
  const other: VirtualFunction = { ...vf, address, index, netdev: undefined };
  if (readVf(host.rtnl, other).mac !== mac) return;
  try {
    applySettings(host.rtnl, other, { mac: NO_MAC });
  } catch {
    // Not every driver takes "none".
    applySettings(host.rtnl, other, { mac: randomMac() });
  }
}
