import { isCode } from '@amphipod/linux';
import {
  type Nft,
  type NftElement,
  type NftOp,
  type NftSet,
  nft,
  nftFindElement,
  nftListElements,
  nftListRules,
  nftTransaction,
} from '@amphipod/netlink';
import { ifThere } from '../lib/if-there.ts';
import { isStaleTag, type Owner, ownerTag } from '../lib/owner.ts';
import { removeUnusedTable } from '../lib/remove-unused-table.ts';

const TABLE = { family: 'bridge', table: 'amphipod_macspoofchk' } as const;
const CHAIN = { object: 'chain', ...TABLE, chain: 'prerouting' } as const;
/** Where the reference has it: nft's name for it in the bridge family is dstnat. */
const PRIORITY = -300;
const PORTS: NftSet = { object: 'set', ...TABLE, set: 'ports', key: ['ifname'] };
const ALLOWED: NftSet = { object: 'set', ...TABLE, set: 'allowed', key: ['ifname', 'ether_addr'] };
const SETS = [PORTS, ALLOWED];

/** A bridge port and the one hardware address that its pod may send from. */
export interface CheckedPort {
  name: string;
  mac: string;
}

/**
 * Drops what comes in by this port from another hardware address. Two lookups for a packet however many ports there are:
 * pairs of port and address that may pass, then ports that are checked. The elements carry their owner.
 */
export function addMacSpoofCheck(conn: Nft, owner: Owner, port: CheckedPort): void {
  const create = elementOps('create', owner, port);
  try {
    nftTransaction(conn, create);
  } catch (error) {
    if (isCode(error, 'ENOENT')) nftTransaction(conn, [...frame(), ...create]);
    else if (isCode(error, 'EEXIST')) {
      // The port is ours now, so what is there belongs to one that is gone.
      removeWhere(conn, ({ key }) => key[0] === port.name);
      nftTransaction(conn, create);
    } else throw error;
  }
}

/** Takes an owner's port out. With the port known to be its own only that is looked at, else all are searched for the owner. */
export function removeMacSpoofCheck(conn: Nft, owner: Owner, sure: CheckedPort | undefined): void {
  try {
    if (sure !== undefined) {
      nftTransaction(conn, elementOps('delete', owner, sure));
      return;
    }
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error;
  }
  const tag = ownerTag(owner);
  removeWhere(conn, ({ comment }) => comment === tag);
}

/** Takes out what belongs to the network and to none of the valid attachments. */
export function removeStaleMacSpoofChecks(
  conn: Nft,
  network: string,
  valid: readonly { containerID: string; ifName: string }[],
): void {
  removeWhere(conn, ({ comment }) => isStaleTag(comment, network, valid));
  removeUnusedMacSpoofCheckTable(conn);
}

/** Removes the table when no port is left in it. */
export function removeUnusedMacSpoofCheckTable(conn: Nft): void {
  removeUnusedTable(conn, TABLE, SETS);
}

/** True when the check of this port is in place. */
export function hasMacSpoofCheck(conn: Nft, owner: Owner, { name, mac }: CheckedPort): boolean {
  const tag = ownerTag(owner);
  const isOwn = (element: NftElement | undefined) => element?.comment === tag;
  return ifThere(
    () =>
      isOwn(nftFindElement(conn, PORTS, [name])) &&
      isOwn(nftFindElement(conn, ALLOWED, [name, mac])) &&
      nftListRules(conn, CHAIN).length === rules().length,
    false,
  );
}

function removeWhere(conn: Nft, isUnwanted: (element: NftElement) => boolean): void {
  const ops = SETS.flatMap((of): NftOp[] => {
    const elements = ifThere(() => nftListElements(conn, of), []).filter(isUnwanted);
    return elements.length === 0 ? [] : [{ op: 'delete', object: 'elements', of, elements }];
  });
  if (ops.length > 0) nftTransaction(conn, ops);
}

function elementOps(op: 'create' | 'delete', owner: Owner, { name, mac }: CheckedPort): NftOp[] {
  const comment = ownerTag(owner);
  return [
    { op, object: 'elements', of: PORTS, elements: [{ key: [name], comment }] },
    { op, object: 'elements', of: ALLOWED, elements: [{ key: [name, mac], comment }] },
  ];
}

function rules(): (NftOp & { object: 'rule' })[] {
  const { chain } = CHAIN;
  const rule = { op: 'add', object: 'rule', ...TABLE, chain } as const;
  const { iifname } = nft.meta;
  return [
    {
      ...rule,
      expressions: [nft.inSet([iifname, nft.ether.saddr], ALLOWED.set), nft.verdict('return')],
    },
    { ...rule, expressions: [nft.inSet(iifname, PORTS.set), nft.verdict('drop')] },
  ];
}

/** Table, sets and chain, made anew where they are missing. */
function frame(): NftOp[] {
  return [
    { op: 'add', object: 'table', ...TABLE, comment: 'Amphipod: hardware addresses of pods (macspoofchk)' },
    ...SETS.map((set): NftOp => ({ op: 'add', ...set })),
    { op: 'add', ...CHAIN, base: { type: 'filter', hook: 'prerouting', priority: PRIORITY } },
    { op: 'flush', ...CHAIN },
    ...rules(),
  ];
}
