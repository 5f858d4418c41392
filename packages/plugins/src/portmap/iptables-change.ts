import type { AttachmentId } from '@amphipod/cni';
import type { UndoStack } from '@amphipod/linux';
import type { IpFamily } from '@amphipod/netlink';
import {
  containerInComment,
  iptablesChainName,
  type SavedChains,
  tryIptables,
  updateIptables,
} from '../lib/iptables.ts';
import { DNAT_CHAIN, type FamilyPorts, type NatRule, podChain } from './iptables-ports.ts';

/** Puts one family's ports in. One process, three for the first pod of the machine. */
export async function addIptablesPorts(ports: FamilyPorts, undo: UndoStack): Promise<void> {
  const { family, sharedChains, shared, chain, rules } = ports;
  const ref = { family, table: 'nat' } as const;
  let added: { chains: string[]; shared: NatRule[] } | undefined;
  undo.defer(`remove chain ${chain}`, async () => {
    const ofPod = (saved: SavedChains) => removalOf(saved, chain);
    await updateIptables(ref, ofPod);
    if (added === undefined) return;
    // Refused as a whole when another pod has come to use the chains.
    await tryIptables(ref, [...added.shared.map(deletion), ...added.chains.map((name) => `-X ${name}`)]);
  });
  const isThere = shared.map((rule) => `-C ${rule.chain} ${rule.text}`);
  if (await tryIptables(ref, [...isThere, `-N ${chain}`, ...rules.map(insertion)])) return;
  await updateIptables(ref, (saved) => {
    const isMissing = ({ chain: name, text }: NatRule) => !(saved.get(name)?.includes(text) ?? false);
    added = { chains: sharedChains.filter((name) => !saved.has(name)), shared: shared.filter(isMissing) };
    return [
      ...[...added.chains, ...(saved.has(chain) ? [] : [chain])].map((name) => `-N ${name}`),
      ...[...added.shared, ...rules.filter(isMissing)].map(insertion),
    ];
  });
}

function insertion({ chain, text, isFirst }: NatRule): string {
  return `${isFirst ? '-I' : '-A'} ${chain} ${text}`;
}

function deletion({ chain, text }: NatRule): string {
  return `-D ${chain} ${text}`;
}

/** One process. False when a rule is missing. */
export async function hasIptablesPorts({ family, shared, rules }: FamilyPorts): Promise<boolean> {
  return await tryIptables(
    { family, table: 'nat' },
    [...shared, ...rules].map(({ chain, text }) => `-C ${chain} ${text}`),
  );
}

/** Takes a container's chain out, and what leads there. One process for a family where it is as ADD left it. */
export async function removeIptablesPorts(
  owner: { network: string; containerID: string },
  families: readonly { family: IpFamily; rules?: readonly NatRule[] }[],
): Promise<void> {
  const chain = podChain(owner);
  for (const { family, rules = [] } of families) {
    const ref = { family, table: 'nat' } as const;
    const entries = rules.filter((rule) => rule.chain !== chain).map(deletion);
    if (entries.length > 0 && (await tryIptables(ref, [...entries, `-F ${chain}`, `-X ${chain}`]))) continue;
    await updateIptables(ref, (saved) => removalOf(saved, chain));
  }
}

function removalOf(saved: SavedChains, chain: string): string[] {
  const entries = (saved.get(DNAT_CHAIN) ?? []).filter((rule) => rule.endsWith(`-j ${chain}`));
  return [
    ...entries.map((rule) => `-D ${DNAT_CHAIN} ${rule}`),
    ...(saved.has(chain) ? [`-F ${chain}`, `-X ${chain}`] : []),
  ];
}

/** Takes out the chains of containers that are in none of the valid attachments. */
export async function removeStaleIptablesPorts(
  network: string,
  valid: readonly Pick<AttachmentId, 'containerID'>[],
): Promise<void> {
  const staleChain = (rule: string): string[] => {
    const containerID = containerInComment(rule, network, 'dnat ');
    if (containerID === undefined || valid.some((other) => other.containerID === containerID)) return [];
    const chain = iptablesChainName(network, containerID, 'DN-');
    return rule.endsWith(`-j ${chain}`) ? [chain] : [];
  };
  for (const family of [4, 6] as const) {
    await updateIptables({ family, table: 'nat' }, (saved) => {
      const stale = new Set((saved.get(DNAT_CHAIN) ?? []).flatMap(staleChain));
      return [...stale].flatMap((chain) => removalOf(saved, chain));
    });
  }
}
