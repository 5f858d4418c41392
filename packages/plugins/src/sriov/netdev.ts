import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { CniError } from '@amphipod/cni';
import { pciNetdevs, pciRebind } from '@amphipod/linux';
import { type Link, linkFind, linkGet, linkList, linkSet } from '@amphipod/netlink';
import { deviceAlias, parseDeviceAlias } from '../lib/device-alias.ts';
import type { Pod } from '../lib/host.ts';
import { isOwnTag, ownerTag } from '../lib/owner.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { renameLink } from '../lib/rename-link.ts';
import type { Call } from './call.ts';
import { type DeviceRecord, isAlive } from './records.ts';
import { settleMac } from './settle-mac.ts';

const WAIT_STEP_MS = 20;
/** The kernel takes namespaces down in the background. */
const RETURN_STEPS = 100;
const NAME_BYTES = 15;

/** The record of a device that has an interface. */
export type NetdevRecord = DeviceRecord & Required<Pick<DeviceRecord, 'netdev'>>;

/** Moves the interface into the pod, under the pod's name for it, with whose it is and its own name in its alias. */
export function moveIn({ request, host }: Call, pod: Pod, { ifIndex, name: hostName }: Link): Link {
  const { ifName } = request;
  const alias = deviceAlias(ownerOf(request), hostName);
  try {
    linkSet(host.rtnl, ifIndex, { netnsFd: pod.netnsFd, name: ifName, alias });
  } catch (cause) {
    throw new CniError('internal', `failed to move link ${hostName}: ${(cause as Error).message}`, { cause });
  }
  return linkGet(pod.rtnl, ifName);
}

/**
 * Brings the interface back to the host under its own name, from wherever it is: the pod, the host (the kernel sends hardware there
 * when a namespace ends), or a namespace that nobody can name any more, out of which the driver makes it anew.
 */
export async function bringHome(call: Call, record: NetdevRecord): Promise<Link> {
  const { host, log } = call;
  if (isAlive(record)) {
    using pod = host.openPod(record.netns);
    const link = findInPod(pod, record);
    if (link !== undefined) moveOut(call, pod, { link, hostName: record.netdev.name });
  }
  let link = await waitForReturn(call, record);
  if (link === undefined) {
    log(
      'warning',
      `interface of ${record.address} is in no namespace that is known: its driver is bound anew`,
    );
    pciRebind(record.address, call.places);
    link = await waitForReturn(call, record);
  }
  if (link === undefined) {
    throw new CniError(
      'internal',
      `failed to bring back ${record.netdev.name}: ${record.address} has no interface`,
    );
  }
  return rename(call, link, record.netdev.name);
}

function findInPod(pod: Pod, { owner }: DeviceRecord): Link | undefined {
  const links = linkList(pod.rtnl);
  const tagged = links.find(({ alias }) => parseDeviceAlias(alias)?.tag === ownerTag(owner));
  // A pod that may do so can have changed the alias. Hardware has no kind.
  return (
    tagged ??
    links.find((link) => link.name === owner.ifName && link.kind === undefined && !isOwnTag(link.alias))
  );
}

function moveOut(call: Call, pod: Pod, { link, hostName }: { link: Link; hostName: string }): void {
  if (link.flags.up) linkSet(pod.rtnl, link.ifIndex, { up: false });
  // The host is the namespace that this thread lives in.
  const hostFd = openSync('/proc/thread-self/ns/net', 'r');
  try {
    linkSet(pod.rtnl, link.ifIndex, { netnsFd: hostFd, name: freeName(call, hostName) });
  } finally {
    closeSync(hostFd);
  }
}

/** On the host; undefined when it does not come. */
async function waitForReturn(
  call: Call,
  { address, netns, netnsId }: DeviceRecord,
): Promise<Link | undefined> {
  const { host, places } = call;
  for (let step = 0; ; step++) {
    const name = pciNetdevs(address, places)[0];
    const link = name === undefined ? undefined : linkFind(host.rtnl, name);
    if (link !== undefined) return link;
    // While the pod is there, nothing sends the interface back.
    if (step >= RETURN_STEPS || (step > 0 && isAlive({ netns, netnsId }))) return undefined;
    await sleep(WAIT_STEP_MS);
  }
}

function rename(call: Call, link: Link, hostName: string): Link {
  const { rtnl } = call.host;
  const wanted = link.name.startsWith(`${hostName}_`) ? link.name : freeName(call, hostName, link.ifIndex);
  if (wanted === link.name) return link;
  if (link.flags.up) linkSet(rtnl, link.ifIndex, { up: false });
  renameLink(rtnl, link.ifIndex, wanted);
  return linkGet(rtnl, link.ifIndex);
}

/** The name, or with a number behind it where the host has another interface of that name (field case SRI-03). */
function freeName({ host, log }: Call, hostName: string, ownIndex?: number): string {
  for (let number = 0; ; number++) {
    const suffix = number === 0 ? '' : `_${number}`;
    const name = `${hostName.slice(0, NAME_BYTES - suffix.length)}${suffix}`;
    const other = linkFind(host.rtnl, name);
    if (other !== undefined && other.ifIndex !== ownIndex) continue;
    if (number > 0)
      log('warning', `the host has another interface ${hostName}: the device is called ${name}`);
    return name;
  }
}

/** Hardware address, MTU and state as they were; our alias off. */
export async function restoreNetdev(call: Call, link: Link, { netdev }: NetdevRecord): Promise<void> {
  const { host, log } = call;
  const { ifIndex } = link;
  let now = link;
  if (link.mac !== netdev.mac) {
    try {
      await settleMac(host.rtnl, ifIndex, netdev.mac);
    } catch (error) {
      // What the physical function wants comes first, and the next pod gets what it asks for.
      log('warning', (error as Error).message);
    }
    now = linkGet(host.rtnl, ifIndex);
  }
  linkSet(host.rtnl, ifIndex, {
    ...(now.mtu !== netdev.mtu && { mtu: netdev.mtu }),
    ...(now.flags.up !== netdev.up && { up: netdev.up }),
    alias: '',
  });
}
