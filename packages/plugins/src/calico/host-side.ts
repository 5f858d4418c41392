import { CniError } from '@amphipod/cni';
import { isCode, type UndoStack } from '@amphipod/linux';
import {
  type Cidr,
  formatCidr,
  type Link,
  linkAdd,
  linkDel,
  linkFind,
  linkSetRequest,
  type Rtnl,
  randomMac,
  routeAdd,
  routeList,
} from '@amphipod/netlink';
import type { Pod } from '../lib/host.ts';
import { ensureLinkLocal, linkLocalOf } from '../lib/link-local.ts';
import { isOwnTag, type Owner, ownerTag } from '../lib/owner.ts';
import { ensureSysctl, trySysctl } from '../lib/settings.ts';

/** All host ends have it: pods keep their neighbour entry when they move. */
export const HOST_MAC = 'ee:ee:ee:ee:ee:ee';

export interface CaliVethOptions {
  owner: Owner;
  /** Of the host's end. */
  name: string;
  /** The name belongs to one pod: what has it is of an earlier sandbox of that pod. */
  isNameOfPod: boolean;
  mtu: number | undefined;
  queues: number;
  /** Of the pod's end. */
  mac: string | undefined;
}

export interface CaliVeth {
  host: Link;
  pod: { ifIndex: number; mac: string };
}

/**
 * Makes the pair: one end in the pod, down; the other on the host under Calico's name, down, with its owner's name.
 * An older sandbox of the same pod loses its interface.
 */
export async function createCaliVeth(
  rtnl: Rtnl,
  pod: Pod,
  undo: UndoStack,
  options: CaliVethOptions,
): Promise<CaliVeth> {
  const { owner, name, mtu, queues } = options;
  await removeOlder(rtnl, options);
  const podMac = options.mac ?? randomMac();
  const common = { ...(mtu !== undefined && { mtu }), txQueues: queues, rxQueues: queues };
  let madeIndex: number | undefined;
  undo.defer(`remove link ${name}`, async () => {
    if (madeIndex !== undefined) await linkDel(rtnl, madeIndex);
  });
  const host = linkAdd(rtnl, {
    kind: 'veth',
    name,
    mac: HOST_MAC,
    ...common,
    peer: { name: owner.ifName, netnsFd: pod.netnsFd, mac: podMac, ...common },
  });
  madeIndex = host.ifIndex;
  rtnl.executeAll([linkSetRequest(host.ifIndex, { alias: ownerTag(owner) })]);
  return { host, pod: { ifIndex: host.peerIndex!, mac: podMac } };
}

async function removeOlder(rtnl: Rtnl, { name, owner, isNameOfPod }: CaliVethOptions): Promise<void> {
  const found = linkFind(rtnl, name);
  if (found === undefined) return;
  const isOthers = isOwnTag(found.alias) && found.alias !== ownerTag(owner);
  if (isOthers && !isNameOfPod) {
    throw new CniError(
      'internal',
      `host interface ${JSON.stringify(name)} belongs to another container: ${found.alias}`,
    );
  }
  await linkDel(rtnl, found.ifIndex);
}

/** The host answers for the pod's next hop, and forwards. */
export function setUpHostEnd(rtnl: Rtnl, host: Link, addresses: readonly Cidr[]): void {
  const { name, ifIndex } = host;
  const has = (family: 4 | 6) => addresses.some(({ ip }) => ip.family === family);
  if (has(4)) {
    ensureSysctl(`net/ipv4/conf/${name}/route_localnet`, '1');
    // Answers at once, not after a while of up to 0.8 s.
    trySysctl(`net/ipv4/neigh/${name}/proxy_delay`, '0');
    ensureSysctl(`net/ipv4/conf/${name}/proxy_arp`, '1');
    ensureSysctl(`net/ipv4/conf/${name}/forwarding`, '1');
  }
  if (has(6)) {
    ensureSysctl(`net/ipv6/conf/${name}/accept_dad`, '0');
    ensureSysctl(`net/ipv6/conf/${name}/disable_ipv6`, '0');
    ensureSysctl(`net/ipv6/conf/${name}/proxy_ndp`, '1');
    ensureSysctl(`net/ipv6/conf/${name}/forwarding`, '1');
  }
  trySysctl(`net/ipv6/conf/${name}/accept_ra`, '0');
  rtnl.executeAll([linkSetRequest(ifIndex, { up: true })]);
  if (has(6)) ensureLinkLocal(rtnl, host, HOST_MAC);
}

/** The pod's next hop of IPv6: the host end's own address. */
export const IPV6_NEXT_HOP: Cidr = linkLocalOf(HOST_MAC);

/** `IP dev caliX scope link`. @throws CniError when the machine has another way to the address */
export function addHostRoutes(rtnl: Rtnl, { ifIndex, name }: Link, addresses: readonly Cidr[]): void {
  for (const dst of addresses) {
    try {
      routeAdd(rtnl, { dst, ifIndex, scope: 'link' });
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error;
      throw new CniError(
        'internal',
        `add route to ${formatCidr(dst)} on ${name}: ${describeRoute(rtnl, dst)} is there already`,
        { cause: error },
      );
    }
  }
}

function describeRoute(rtnl: Rtnl, dst: Cidr): string {
  const text = formatCidr(dst);
  const found = routeList(rtnl, { family: dst.ip.family }).find(
    (route) => route.dst !== undefined && formatCidr(route.dst) === text,
  );
  const link = found?.ifIndex === undefined ? undefined : linkFind(rtnl, found.ifIndex);
  return `one on ${link?.name ?? 'another interface'}`;
}
