import { isCode } from '@amphipod/linux';
import {
  type IpAddress,
  ipToBytes,
  type Nft,
  type NftRule,
  nftFindRule,
  nftTransaction,
} from '@amphipod/netlink';
import type { PluginHost } from '../lib/host.ts';
import { isSameRule, listRules } from './nft-rules.ts';
import { POD_CHAIN, podRules } from './rules.ts';

/** Others remove rules at the same time, never so often. */
const TRIES = 20;

/** Takes out the rules with this mark; says how many there were. */
export function removeNftRules({ nft, memory }: PluginHost, mark: string): number {
  const known = memory.firewallRules.get(mark) ?? [];
  memory.firewallRules.delete(mark);
  const isMarked = (rule: NftRule | undefined) => rule?.mark === mark;
  const found = known.map((ref) => nftFindRule(nft, ref));
  // Where one is gone a table may have been loaded anew.
  if (found.length > 0 && found.every(isMarked) && tryDelete(nft, found as NftRule[])) return found.length;
  return removeWhere(nft, [Buffer.from(`${mark}\0`)], isMarked);
}

/** Takes out rules for these addresses that have no mark: iptables made them, or iptables-restore loaded them again. */
export function removeUnmarkedNftRules(conn: Nft, addresses: readonly IpAddress[]): void {
  if (addresses.length === 0) return;
  const unwanted = addresses.flatMap(podRules);
  const bytes = addresses.map((ip) => ipToBytes(ip));
  removeWhere(
    conn,
    bytes,
    (rule) => rule.mark === undefined && unwanted.some((other) => isSameRule(rule, other)),
  );
}

/** Takes out the rules with a mark that is unwanted. */
export function removeMarkedNftRules(
  { nft, memory }: PluginHost,
  isUnwanted: (mark: string | undefined) => boolean,
): void {
  for (const key of memory.firewallRules.keys()) if (isUnwanted(key)) memory.firewallRules.delete(key);
  removeWhere(nft, undefined, ({ mark }) => isUnwanted(mark));
}

/** How many rules were there to remove. */
function removeWhere(
  conn: Nft,
  containing: readonly Buffer[] | undefined,
  isUnwanted: (rule: NftRule) => boolean,
): number {
  for (let tries = 1; ; tries++) {
    const rules = ([4, 6] as const)
      .flatMap((family) => listRules(conn, family, { chain: POD_CHAIN, ...(containing && { containing }) }))
      .filter(isUnwanted);
    if (tryDelete(conn, rules)) return rules.length;
    if (tries === TRIES) throw new Error('remove firewall rules: they keep changing');
  }
}

/** False when one of the rules is gone. */
function tryDelete(conn: Nft, rules: readonly NftRule[]): boolean {
  try {
    nftTransaction(
      conn,
      rules.map((rule) => ({ op: 'delete', ...rule }) as const),
    );
    return true;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false;
    throw error;
  }
}
