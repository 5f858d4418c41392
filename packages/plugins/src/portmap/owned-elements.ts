import {
  type Nft,
  type NftElement,
  type NftMap,
  type NftSet,
  nftFindElement,
  nftListElements,
  nftTransaction,
} from '@amphipod/netlink';
import { ifThere } from '../lib/if-there.ts';
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

/**
 * Takes out those of these entries that have the comment, each found by its key: the cost does not grow with the number of
 * pods. Says how many those were.
 */
export function removeEntries(conn: Nft, entries: readonly Entry[], comment: string): number {
  const own = entries.filter(({ of, element }) => findElement(conn, of, element.key)?.comment === comment);
  nftTransaction(conn, elementOps('delete', own));
  return own.length;
}

/** The element with this key; undefined also when there is no such map or set. */
export function findElement(conn: Nft, of: NftMap | NftSet, key: NftElement['key']): NftElement | undefined {
  return ifThere(() => nftFindElement(conn, of, key), undefined);
}

function listElements(conn: Nft, of: NftMap | NftSet): NftElement[] {
  return ifThere(() => nftListElements(conn, of), []);
}

/** Removes the tables when no pod has a port any more. */
export function removeUnusedHostPortTables(conn: Nft): void {
  for (const table of Object.values(tables)) {
    if (!hasConditionalPorts(conn, table.family)) removeUnusedTable(conn, table.ref, setsOf(table));
  }
}
