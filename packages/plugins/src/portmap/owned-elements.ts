import { isCode } from '@amphipod/linux';
import {
  type Nft,
  type NftElement,
  type NftMap,
  type NftSet,
  nftListElements,
  nftTransaction,
} from '@amphipod/netlink';
import { removeUnusedTable } from '../lib/remove-unused-table.ts';
import { hasConditionalPorts } from './conditions.ts';
import { type Entry, elementOps, setsOf, tables } from './host-ports.ts';

/** Takes out every element whose comment is unwanted; a table that is not there has none. False when none was there. */
export function removeWhere(conn: Nft, isUnwanted: (comment: string | undefined) => boolean): boolean {
  let isFound = false;
  for (const table of Object.values(tables)) {
    const found = setsOf(table).flatMap((of): Entry[] =>
      listElements(conn, of)
        .filter(({ comment }) => isUnwanted(comment))
        .map((element) => ({ of, element })),
    );
    if (found.length === 0) continue;
    isFound = true;
    nftTransaction(conn, elementOps('delete', found));
  }
  return isFound;
}

export function listElements(conn: Nft, of: NftMap | NftSet): NftElement[] {
  try {
    return nftListElements(conn, of);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Removes the tables when no pod has a port any more. */
export function removeUnusedHostPortTables(conn: Nft): void {
  for (const table of Object.values(tables)) {
    if (!hasConditionalPorts(conn, table.family)) removeUnusedTable(conn, table.ref, setsOf(table));
  }
}
