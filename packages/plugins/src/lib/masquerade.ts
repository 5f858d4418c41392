import { isCode } from '@amphipod/linux';
import {
  type Cidr,
  formatCidr,
  type IpFamily,
  type Nft,
  type NftElement,
  type NftMap,
  type NftOp,
  networkOf,
  nft,
  nftFindElement,
  nftListElements,
  nftTransaction,
  parseCidr,
} from '@amphipod/netlink';
import { ifThere } from './if-there.ts';
import { isStaleTag, type Owner, ownerTag } from './owner.ts';
import { removeUnusedTable } from './remove-unused-table.ts';

const TABLE = { family: 'inet', table: 'amphipod_masquerade' } as const;
const SRCNAT = 100;
const families: Record<
  IpFamily,
  { map: NftMap; saddr: typeof nft.ip.saddr; daddr: typeof nft.ip.daddr; nfproto: number; multicast: string }
> = {
  4: {
    map: podsMap('pods4', 'ipv4_addr'),
    ...nft.ip,
    nfproto: nft.nfProtocols.ipv4,
    multicast: '224.0.0.0/4',
  },
  6: { map: podsMap('pods6', 'ipv6_addr'), ...nft.ip6, nfproto: nft.nfProtocols.ipv6, multicast: 'ff00::/8' },
};

const maps = Object.values(families).map(({ map }) => map);

function podsMap(set: string, key: 'ipv4_addr' | 'ipv6_addr'): NftMap {
  return { object: 'map', ...TABLE, set, key: [key], data: 'verdict' };
}

/**
 * Gives what a pod sends out of its network the address of the machine. One lookup by source address leads to the chain of
 * the pod's network, so a packet's way does not grow with the number of pods. The elements carry their owner.
 */
export function addMasquerade(conn: Nft, owner: Owner, addresses: readonly Cidr[]): void {
  const elements = addresses.map((address) => ({ address, op: elementOp('create', owner, address) }));
  try {
    nftTransaction(
      conn,
      elements.map(({ op }) => op),
    );
  } catch (error) {
    if (isCode(error, 'ENOENT'))
      nftTransaction(conn, [...addresses.flatMap(frame), ...replacing(conn, owner, addresses)]);
    // The address is ours now, so what is there belongs to a pod that is gone.
    else if (isCode(error, 'EEXIST')) nftTransaction(conn, replacing(conn, owner, addresses));
    else throw error;
  }
}

/**
 * Takes an owner's addresses out. With `sure` addresses (nobody else can have them) only those are looked at, else all
 * elements are searched for the owner. False when nothing was there.
 */
export function removeMasquerade(conn: Nft, owner: Owner, sure: readonly Cidr[]): boolean {
  if (removeSure(conn, owner, sure)) return true;
  const tag = ownerTag(owner);
  return removeWhere(conn, (comment) => comment === tag);
}

/** False when it takes a search. */
function removeSure(conn: Nft, owner: Owner, sure: readonly Cidr[]): boolean {
  if (sure.length === 0) return false;
  try {
    nftTransaction(
      conn,
      sure.map((address) => elementOp('delete', owner, address)),
    );
    return true;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false;
    throw error;
  }
}

/** Takes out what belongs to the network and to none of the valid attachments. */
export function removeStaleMasquerade(
  conn: Nft,
  network: string,
  valid: readonly { containerID: string; ifName: string }[],
): void {
  removeWhere(conn, (comment) => isStaleTag(comment, network, valid));
  removeUnusedMasqueradeTable(conn);
}

/** Removes the table when no pod is left in it. */
export function removeUnusedMasqueradeTable(conn: Nft): void {
  removeUnusedTable(conn, TABLE, maps);
}

/** True when the rule for this address is there. */
export function hasMasquerade(conn: Nft, owner: Owner, address: Cidr): boolean {
  return findElement(conn, address)?.comment === ownerTag(owner);
}

function findElement(conn: Nft, { ip }: Cidr): NftElement | undefined {
  return ifThere(() => nftFindElement(conn, families[ip.family].map, [ip]), undefined);
}

/** True when something was there to remove. */
function removeWhere(conn: Nft, isUnwanted: (comment: string | undefined) => boolean): boolean {
  let isFound = false;
  for (const { map } of Object.values(families)) {
    const elements = listElements(conn, map).filter(({ comment }) => isUnwanted(comment));
    if (elements.length === 0) continue;
    isFound = true;
    nftTransaction(conn, [{ op: 'delete', object: 'elements', of: map, elements }]);
  }
  return isFound;
}

function listElements(conn: Nft, map: NftMap): NftElement[] {
  return ifThere(() => nftListElements(conn, map), []);
}

function elementOp(op: 'create' | 'delete', owner: Owner, address: Cidr): NftOp {
  const element: NftElement = {
    key: [address.ip],
    verdict: { verdict: 'goto', chain: chainOf(address) },
    comment: ownerTag(owner),
  };
  return { op, object: 'elements', of: families[address.ip.family].map, elements: [element] };
}

/** Steps that put the elements in, whoever had them before. */
function replacing(conn: Nft, owner: Owner, addresses: readonly Cidr[]): NftOp[] {
  return addresses.flatMap((address) => {
    const old = findElement(conn, address);
    const create = elementOp('create', owner, address);
    if (old === undefined) return [create];
    return [
      { op: 'delete', object: 'elements', of: families[address.ip.family].map, elements: [old] },
      create,
    ];
  });
}

/** `net_10_9_0_0_24`: the chain for what pods of this network send. */
function chainOf(address: Cidr): string {
  return `net_${formatCidr(networkOf(address)).replaceAll(/[^0-9a-f]/g, '_')}`;
}

/** Table, chains and maps, made anew where they are missing. */
function frame(address: Cidr): NftOp[] {
  const chain = { object: 'chain', ...TABLE } as const;
  const rule = { op: 'add', object: 'rule', ...TABLE } as const;
  const { daddr, nfproto } = families[address.ip.family];
  const network = chainOf(address);
  return [
    { op: 'add', object: 'table', ...TABLE, comment: 'Amphipod: masquerading of pods (ipMasq)' },
    ...Object.values(families).map(({ map }): NftOp => ({ op: 'add', ...map })),
    {
      op: 'add',
      ...chain,
      chain: 'postrouting',
      base: { type: 'nat', hook: 'postrouting', priority: SRCNAT },
    },
    { op: 'flush', ...chain, chain: 'postrouting' },
    ...Object.values(families).flatMap(({ map, saddr, daddr: to, nfproto, multicast }): NftOp[] => {
      const isFamily = nft.eq(nft.meta.nfproto, nfproto);
      return [
        {
          ...rule,
          chain: 'postrouting',
          expressions: [isFamily, nft.eq(to, parseCidr(multicast)), nft.verdict('return')],
        },
        { ...rule, chain: 'postrouting', expressions: [isFamily, nft.vmap(saddr, map.set)] },
      ];
    }),
    { op: 'add', ...chain, chain: network },
    { op: 'flush', ...chain, chain: network },
    {
      ...rule,
      chain: network,
      expressions: [nft.eq(nft.meta.nfproto, nfproto), nft.ne(daddr, networkOf(address)), nft.masquerade()],
    },
  ];
}
