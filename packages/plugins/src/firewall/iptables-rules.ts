import type { UndoStack } from '@amphipod/linux';
import type { IpAddress } from '@amphipod/netlink';
import {
  changeIptables,
  type IptablesRef,
  type SavedChains,
  saveIptables,
  tryIptables,
} from '../lib/iptables.ts';
import { type FamilyRules, type FirewallRule, POD_CHAIN, podRules } from './rules.ts';

/** Puts one family's rules in where they are missing. Two processes. */
export async function addIptablesRules(
  { family, chains, shared, pod }: FamilyRules,
  undo: UndoStack,
): Promise<void> {
  const ref = { family, table: 'filter' } as const;
  const saved = await saveIptables(ref);
  const isMissing = ({ chain, text }: FirewallRule) => !(saved.get(chain)?.includes(text) ?? false);
  const newChains = chains.filter((chain) => !saved.has(chain));
  const newShared = shared.filter(isMissing);
  const newPod = pod.filter(isMissing);
  undo.defer('remove firewall rules', async () => {
    const all = [...newPod, ...newShared].map(deletion);
    // Refused as a whole when another pod has come to use the chains.
    if (await tryIptables(ref, [...all, ...newChains.map((chain) => `-X ${chain}`)])) return;
    await changeIptables(ref, presentOf(await saveIptables(ref), newPod));
  });
  await changeIptables(ref, [
    ...newChains.map((chain) => `-N ${chain}`),
    ...newShared.map((rule) => {
      const at = rule.behind === undefined ? -1 : (saved.get(rule.chain)?.indexOf(rule.behind.text) ?? -1);
      if (at >= 0) return `-I ${rule.chain} ${at + 2} ${rule.text}`;
      return `${rule.place === 'start' ? '-I' : '-A'} ${rule.chain} ${rule.text}`;
    }),
    ...newPod.map(({ chain, text }) => `-A ${chain} ${text}`),
  ]);
}

function deletion({ chain, text }: FirewallRule): string {
  return `-D ${chain} ${text}`;
}

/** The rules of one family that are not there. One process. */
export async function missingIptablesRules({ family, shared, pod }: FamilyRules): Promise<FirewallRule[]> {
  const saved = await saveIptables({ family, table: 'filter' });
  return [...shared, ...pod].filter(({ chain, text }) => !(saved.get(chain)?.includes(text) ?? false));
}

/** Takes the rules of these addresses out. What is not there is no error. */
export async function removeIptablesRules(addresses: readonly IpAddress[]): Promise<void> {
  for (const [family, ips] of Map.groupBy(addresses, (ip) => ip.family)) {
    const ref: IptablesRef = { family, table: 'filter' };
    const rules = ips.flatMap(podRules);
    // Mostly each is there once.
    if (await tryIptables(ref, rules.map(deletion))) continue;
    await changeIptables(ref, presentOf(await saveIptables(ref), rules));
  }
}

/** Deletions of those that are there, as often as they are. */
function presentOf(saved: SavedChains, rules: readonly FirewallRule[]): string[] {
  const texts = rules.map(({ text }) => text);
  return (saved.get(POD_CHAIN) ?? [])
    .filter((text) => texts.includes(text))
    .map((text) => `-D ${POD_CHAIN} ${text}`);
}
