import { isCode } from '@amphipod/linux';
import {
  type IpAddress,
  type IpFamily,
  type Nft,
  type NftElement,
  type NftOp,
  type NftSet,
  nftFindElement,
  nftListElements,
  nftTransaction,
} from '@amphipod/netlink';
import { ifThere } from '../lib/if-there.ts';
import { removeUnusedTable } from '../lib/remove-unused-table.ts';

// What iptables and firewalld keep for an address says nothing of whose it is. These sets do, so that a late DEL leaves the
// address of a new owner alone, and DEL and GC find addresses without a result.

const TABLE = { family: 'inet', table: 'amphipod_firewall' } as const;
const sets: Record<IpFamily, NftSet> = {
  4: { object: 'set', ...TABLE, set: 'owners4', key: ['ipv4_addr'] },
  6: { object: 'set', ...TABLE, set: 'owners6', key: ['ipv6_addr'] },
};

/** Notes, by the owner's tag, whose these addresses are from now on, whoever had them before. */
export function claimAddresses(conn: Nft, comment: string, addresses: readonly IpAddress[]): void {
  const create = addresses.map((ip) => elementsOp('create', ip.family, [{ key: [ip], comment }]));
  try {
    nftTransaction(conn, create);
  } catch (error) {
    if (!isCode(error, 'ENOENT', 'EEXIST')) throw error;
    const old = addresses
      .map((ip) => ({ ip, element: find(conn, ip) }))
      .flatMap(({ ip, element }) =>
        element === undefined ? [] : [elementsOp('delete', ip.family, [element])],
      );
    nftTransaction(conn, [...frame(), ...old, ...create]);
  }
}

/** Those that belong to no other tag. */
export function notOthers(conn: Nft, tag: string, addresses: readonly IpAddress[]): IpAddress[] {
  return addresses.filter((ip) => (find(conn, ip)?.comment ?? tag) === tag);
}

/** The addresses of owners that are wanted, by their tags. */
export function findAddresses(conn: Nft, isWanted: (tag: string | undefined) => boolean): IpAddress[] {
  return Object.values(sets)
    .flatMap((set) => list(conn, set))
    .filter(({ comment }) => isWanted(comment))
    .map(({ key }) => key[0] as IpAddress);
}

/** Forgets whose the addresses are. */
export function forgetAddresses(conn: Nft, addresses: readonly IpAddress[]): void {
  const found = addresses.filter((ip) => find(conn, ip) !== undefined);
  nftTransaction(
    conn,
    found.map((ip) => elementsOp('delete', ip.family, [{ key: [ip] }])),
  );
}

/** Removes the table when no pod is left in it. */
export function removeUnusedOwnersTable(conn: Nft): void {
  removeUnusedTable(conn, TABLE, Object.values(sets));
}

function find(conn: Nft, ip: IpAddress): NftElement | undefined {
  return ifThere(() => nftFindElement(conn, sets[ip.family], [ip]), undefined);
}

function list(conn: Nft, set: NftSet): NftElement[] {
  return ifThere(() => nftListElements(conn, set), []);
}

function elementsOp(op: 'create' | 'delete', family: IpFamily, elements: NftElement[]): NftOp {
  return { op, object: 'elements', of: sets[family], elements };
}

function frame(): NftOp[] {
  return [
    {
      op: 'add',
      object: 'table',
      ...TABLE,
      comment: 'Amphipod: whose the addresses in the firewall are (firewall)',
    },
    ...Object.values(sets).map((set): NftOp => ({ op: 'add', ...set })),
  ];
}
