import { isCode } from '@amphipod/linux';
import { type Nft, type NftMap, type NftSet, type NftTableRef, nftTransaction } from '@amphipod/netlink';

/**
 * Removes a table of ours unless an element is left in one of its sets. One transaction, in which the kernel does the
 * asking, so that an element which another process puts in at this moment is safe. Not for every DEL: the kernel takes
 * NAT chains down in the background, and the next ADD would wait 13 ms for that.
 */
export function removeUnusedTable(
  conn: Nft,
  { family, table }: NftTableRef,
  sets: readonly (NftMap | NftSet)[],
): void {
  try {
    nftTransaction(conn, [
      { op: 'flush', object: 'table', family, table },
      ...sets.map(
        ({ object, set }) => ({ op: 'delete', object, family, table, set, onlyIfEmpty: true }) as const,
      ),
      { op: 'delete', object: 'table', family, table },
    ]);
  } catch (error) {
    if (!isCode(error, 'EBUSY', 'ENOENT')) throw error;
  }
}
