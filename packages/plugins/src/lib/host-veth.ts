import { hash } from 'node:crypto';
import { CniError } from '@amphipod/cni';
import { isCode, type UndoStack } from '@amphipod/linux';
import {
  type BridgePort,
  type Link,
  linkAdd,
  linkDel,
  linkFind,
  linkSetRequest,
  type NetlinkRequest,
  type Rtnl,
  randomMac,
} from '@amphipod/netlink';
import type { Pod } from './host.ts';
import { type Owner, ownerTag } from './owner.ts';
import { trySysctl } from './settings.ts';

/** ETH_MAX_MTU. */
export const MAX_VETH_MTU = 65_535;
/** Names are 32 bits of a hash; this many owners may share one. */
const NAME_TRIES = 8;
/**
 * The kernel's default is one for each processor that the machine could have, which makes a pair half as expensive again
 * with two and many times with a hundred. A veth uses more than one only under XDP or GRO.
 */
const ONE_QUEUE = { txQueues: 1, rxQueues: 1 };

export interface VethOptions {
  owner: Owner;
  mtu: number | undefined;
  /** Of the pod's end. */
  mac: string | undefined;
  /** The bridge that the host's end joins; without one it stands alone. */
  bridge?: { ifIndex: number; port: BridgePort };
  /** What else the host's end needs, by its index; goes to the kernel together with the owner's name. */
  setUp?: (ifIndex: number) => NetlinkRequest[];
}

export interface VethPair {
  host: Link;
  pod: { ifIndex: number; mac: string };
}

/** `veth1a2b3c4d`: found again from the owner alone, so that DEL needs neither a record nor the pod's namespace. */
function hostVethName(owner: Owner, attempt: number): string {
  const text = `${owner.network}/${owner.containerID}/${owner.ifName}/${attempt}`;
  return `veth${hash('sha256', text).slice(0, 8)}`;
}

/**
 * Makes a veth pair: one end in the pod, down; the other on the host, up, with its owner's name and in the bridge if one
 * is given. @throws CniError when the pod has such an interface
 */
export function createVeth(rtnl: Rtnl, pod: Pod, undo: UndoStack, options: VethOptions): VethPair {
  const { owner, mtu, bridge, setUp } = options;
  const podMac = options.mac ?? randomMac();
  const common = { ...(mtu !== undefined && { mtu }), ...ONE_QUEUE };
  for (let attempt = 0; attempt < NAME_TRIES; attempt++) {
    const name = hostVethName(owner, attempt);
    let madeIndex: number | undefined;
    undo.defer(`remove link ${name}`, async () => {
      if (madeIndex !== undefined) await linkDel(rtnl, madeIndex);
    });
    try {
      const host = linkAdd(rtnl, {
        kind: 'veth',
        name,
        mac: randomMac(),
        up: true,
        ...(bridge !== undefined && { masterIndex: bridge.ifIndex }),
        ...common,
        peer: { name: owner.ifName, netnsFd: pod.netnsFd, mac: podMac, ...common },
      });
      madeIndex = host.ifIndex;
      trySysctl(`net/ipv6/conf/${name}/accept_ra`, '0');
      const change = { alias: ownerTag(owner), ...(bridge !== undefined && { bridgePort: bridge.port }) };
      rtnl.executeAll([linkSetRequest(host.ifIndex, change), ...(setUp?.(host.ifIndex) ?? [])]);
      return { host, pod: { ifIndex: host.peerIndex!, mac: podMac } };
    } catch (error) {
      if (madeIndex !== undefined || !isCode(error, 'EEXIST')) throw error;
      refuseIfAttached(rtnl, pod, owner, name);
    }
  }
  throw new CniError('internal', 'failed to find a unique veth name');
}

/** Returns when the name is only taken by somebody else's interface. */
function refuseIfAttached(rtnl: Rtnl, pod: Pod, owner: Owner, name: string): void {
  const taken = linkFind(rtnl, name);
  if (taken !== undefined && taken.alias !== ownerTag(owner)) return;
  const inPod = linkFind(pod.rtnl, owner.ifName);
  if (taken === undefined && inPod === undefined) return;
  throw new CniError(
    'internal',
    inPod === undefined
      ? `host interface ${JSON.stringify(name)} of this attachment already exists`
      : `container veth name (${JSON.stringify(owner.ifName)}) already exists`,
  );
}

/** The host's end of an owner's pair. */
export function findHostVeth(rtnl: Rtnl, owner: Owner): Link | undefined {
  const tag = ownerTag(owner);
  for (let attempt = 0; attempt < NAME_TRIES; attempt++) {
    const link = linkFind(rtnl, hostVethName(owner, attempt));
    if (link === undefined || link.alias === tag) return link;
  }
  return undefined;
}
