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
import { type Entry, elementOps, setsOf, tables } from './host-ports.ts';

/** Takes out every element whose comment is unwanted; a table that is not there has none, one without any left goes. */
export function removeWhere(conn: Nft, isUnwanted: (comment: string | undefined) => boolean): void {
  for (const table of Object.values(tables)) {
    const found = setsOf(table).flatMap((of): Entry[] =>
      listElements(conn, of)
        .filter(({ comment }) => isUnwanted(comment))
        .map((element) => ({ of, element })),
    );
    if (found.length === 0) continue;
    nftTransaction(conn, elementOps('delete', found));
    removeUnusedTable(conn, table.ref, setsOf(table));
  }
}

export function listElements(conn: Nft, of: NftMap | NftSet): NftElement[] {
  try {
    return nftListElements(conn, of);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return [];
    throw error;
  }
}
