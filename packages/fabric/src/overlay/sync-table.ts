import { isDeepStrictEqual } from 'node:util';
import { isCode } from '@amphipod/linux';
import {
  type Nft,
  type NftOp,
  type NftRule,
  nftGeneration,
  nftListChains,
  nftListRules,
  nftTransaction,
} from '@amphipod/netlink';

interface TableName {
  readonly family: 'inet';
  readonly table: string;
}

/** A table of ours, and what it is to hold. */
export interface WantedTable<W> {
  table: TableName;
  /** What the rules follow from: where it is the same, they are the same. */
  wanted: W;
  /** How many base chains there are. */
  baseChains: number;
  /** Makes the whole table anew. */
  ops(wanted: W): NftOp[];
}

/** What the kernel had when we wrote it last; nothing else counts as right. */
export interface WrittenTable<W> {
  wanted: W;
  rules: NftRule[];
  generation: number;
}

/**
 * Makes a table as it is wanted, in one transaction: packets see the rules of before or those of after.
 * @param written of the last call; undefined writes the table anew, whoever made the one that is there
 * @returns what to give to the next call, and whether anything was mended
 */
export function syncTable<W>(
  conn: Nft,
  { table, wanted, baseChains, ops }: WantedTable<W>,
  written: WrittenTable<W> | undefined,
): { written: WrittenTable<W>; mended: number } {
  const generation = nftGeneration(conn);
  if (written !== undefined && isDeepStrictEqual(written.wanted, wanted)) {
    if (written.generation === generation) return { written, mended: 0 };
    // Somebody has changed some rules somewhere.
    if (areThere(conn, { table, baseChains }, written.rules)) {
      return { written: { ...written, generation }, mended: 0 };
    }
  }
  const rules = nftTransaction(conn, ops(wanted), { wantsRules: true });
  // The number of before: whatever was changed while we wrote, the next call looks once more.
  return { written: { wanted, rules, generation }, mended: 1 };
}

function areThere(
  conn: Nft,
  { table, baseChains }: { table: TableName; baseChains: number },
  rules: readonly NftRule[],
): boolean {
  try {
    const chains = nftListChains(conn, table).filter(({ base }) => base !== undefined);
    return chains.length === baseChains && isDeepStrictEqual(nftListRules(conn, table), rules);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false;
    throw error;
  }
}
