import type { UndoStack } from '@amphipod/linux';
import type { IpAddress } from '@amphipod/netlink';
import {
  type IptablesRef,
  type SavedChains,
  saveIptables,
  tryIptables,
  updateIptables,
} from '../lib/iptables.ts';
import { type FamilyRules, type FirewallRule, POD_CHAIN, podRules, type SharedRule } from './rules.ts';

/** Puts one family's rules in where they are missing. Two processes. */
export async function addIptablesRules(
  { family, chains, shared, pod }: FamilyRules,
  undo: UndoStack,
): Promise<void> {
  const ref = { family, table: 'filter' } as const;
  let added: { chains: string[]; shared: SharedRule[]; pod: FirewallRule[] } | undefined;
  undo.defer('remove firewall rules', async () => {
    if (added === undefined) return;
    const { chains: newChains, shared: newShared, pod: newPod } = added;
    const all = [...newPod, ...newShared].map(deletion);
    // Refused as a whole when another pod has come to use the chains.
    if (await tryIptables(ref, [...all, ...newChains.map((chain) => `-X ${chain}`)])) return;
    await updateIptables(ref, (saved) => presentOf(saved, newPod));
  });
  await updateIptables(ref, (saved) => {
    const isMissing = isMissingIn(saved);
    added = {
      chains: chains.filter((chain) => !saved.has(chain)),
      shared: shared.filter(isMissing),
      pod: pod.filter(isMissing),
    };
    return [
      ...added.chains.map((chain) => `-N ${chain}`),
      ...added.shared.map((rule) => insertion(saved, rule)),
      ...added.pod.map(({ chain, text }) => `-A ${chain} ${text}`),
    ];
  });
}

function insertion(saved: SavedChains, { chain, text, place, behind }: SharedRule): string {
  const at = behind === undefined ? -1 : (saved.get(chain)?.indexOf(behind.text) ?? -1);
  // Numbers begin with 1.
  if (at >= 0) return `-I ${chain} ${at + 2} ${text}`;
  return `${place === 'start' ? '-I' : '-A'} ${chain} ${text}`;
}

function isMissingIn(saved: SavedChains): (rule: FirewallRule) => boolean {
  return ({ chain, text }) => !(saved.get(chain)?.includes(text) ?? false);
}

function deletion({ chain, text }: FirewallRule): string {
  return `-D ${chain} ${text}`;
}

/** The rules of one family that are not there. One process. */
export async function missingIptablesRules({ family, shared, pod }: FamilyRules): Promise<FirewallRule[]> {
  const saved = await saveIptables({ family, table: 'filter' });
  return [...shared, ...pod].filter(isMissingIn(saved));
}

/** Takes the rules of these addresses out. What is not there is no error. */
export async function removeIptablesRules(addresses: readonly IpAddress[]): Promise<void> {
  for (const [family, ips] of Map.groupBy(addresses, (ip) => ip.family)) {
    const ref: IptablesRef = { family, table: 'filter' };
    const rules = ips.flatMap(podRules);
    // Mostly each is there once.
    if (await tryIptables(ref, rules.map(deletion))) continue;
    await updateIptables(ref, (saved) => presentOf(saved, rules));
  }
}

/** Deletions of those that are there, as often as they are. */
function presentOf(saved: SavedChains, rules: readonly FirewallRule[]): string[] {
  const texts = rules.map(({ text }) => text);
  return (saved.get(POD_CHAIN) ?? [])
    .filter((text) => texts.includes(text))
    .map((text) => `-D ${POD_CHAIN} ${text}`);
}
