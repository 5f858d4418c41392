import { type Cidr, formatCidr, formatIp, type IpFamily, networkOf } from '@amphipod/netlink';
import {
  containerInComment,
  iptablesChainName,
  iptablesComment,
  quoteIptables,
  type SavedChains,
  tryIptables,
  updateIptables,
} from './iptables.ts';
import type { Owner } from './owner.ts';

// The reference's chains, word for word, so that either implementation takes away what the other made: a chain for each
// container of a network (whatever the interface), and a jump to it for each address.

const POSTROUTING = 'POSTROUTING';
const multicast: Record<IpFamily, string> = { 4: '224.0.0.0/4', 6: 'ff00::/8' };

/** Gives what these addresses send out of their networks the address of the machine. One process for each family. */
export async function addIptablesMasquerade(owner: Owner, addresses: readonly Cidr[]): Promise<void> {
  for (const [family, cidrs] of byFamily(addresses)) {
    const ref = { family, table: 'nat' } as const;
    const chain = chainOf(owner);
    const rules = [...new Set(cidrs.flatMap((cidr) => chainRules(owner, cidr)))];
    const jumps = cidrs.map((cidr) => jumpRule(owner, cidr));
    const append = (to: string, list: string[]) => list.map((rule) => `-A ${to} ${rule}`);
    const fresh = [`-N ${chain}`, ...append(chain, rules), ...append(POSTROUTING, jumps)];
    if (await tryIptables(ref, fresh)) continue;
    // The chain is there: from another interface of the container, or from an ADD that was cut off.
    await updateIptables(ref, (saved) => {
      const isNew = (to: string) => (rule: string) => !(saved.get(to)?.includes(rule) ?? false);
      return [
        ...(saved.has(chain) ? [] : [`-N ${chain}`]),
        ...append(chain, rules.filter(isNew(chain))),
        ...append(POSTROUTING, jumps.filter(isNew(POSTROUTING))),
      ];
    });
  }
}

/** Takes an owner's addresses out: `sure` ones, or all that its chain is used by. What is not there is no error. */
export async function removeIptablesMasquerade(owner: Owner, sure: readonly Cidr[]): Promise<void> {
  const families = sure.length > 0 ? byFamily(sure) : [[4, []] as const, [6, []] as const];
  for (const [family, cidrs] of families) {
    const ref = { family, table: 'nat' } as const;
    const chain = chainOf(owner);
    const removal = [
      ...cidrs.map((cidr) => `-D ${POSTROUTING} ${jumpRule(owner, cidr)}`),
      ...dropChain(chain),
    ];
    if (cidrs.length > 0 && (await tryIptables(ref, removal))) continue;
    const isSure = (rule: string) =>
      cidrs.length === 0 || cidrs.some((cidr) => rule === jumpRule(owner, cidr) || isOldJump(rule, cidr));
    await updateIptables(ref, (saved) => removalOf(saved, chain, isSure));
  }
}

/** The chain's jumps that are wanted, and the chain itself when no others lead to it. */
function removalOf(saved: SavedChains, chain: string, isWanted: (rule: string) => boolean): string[] {
  const jumps = (saved.get(POSTROUTING) ?? []).filter((rule) => rule.endsWith(`-j ${chain}`));
  const unwanted = jumps.filter(isWanted);
  const isUnused = saved.has(chain) && unwanted.length === jumps.length;
  return [...unwanted.map((rule) => `-D ${POSTROUTING} ${rule}`), ...(isUnused ? dropChain(chain) : [])];
}

function dropChain(chain: string): string[] {
  return [`-F ${chain}`, `-X ${chain}`];
}

/** Before version 0.9 the reference matched the whole network. */
function isOldJump(rule: string, cidr: Cidr): boolean {
  return rule.startsWith(`-s ${formatCidr(networkOf(cidr))} `);
}

/** Takes out what belongs to the network and to none of the valid containers. */
export async function removeStaleIptablesMasquerade(
  network: string,
  valid: readonly { containerID: string }[],
): Promise<void> {
  const staleChain = (rule: string): string[] => {
    const containerID = containerInComment(rule, network);
    if (containerID === undefined || valid.some((other) => other.containerID === containerID)) return [];
    const chain = iptablesChainName(network, containerID);
    return rule.endsWith(`-j ${chain}`) ? [chain] : [];
  };
  for (const family of [4, 6] as const) {
    await updateIptables({ family, table: 'nat' }, (saved) => {
      const stale = new Set((saved.get(POSTROUTING) ?? []).flatMap(staleChain));
      return [...stale].flatMap((chain) => removalOf(saved, chain, () => true));
    });
  }
}

/** True when all rules for this address are there. */
export async function hasIptablesMasquerade(owner: Owner, address: Cidr): Promise<boolean> {
  const chain = chainOf(owner);
  return await tryIptables({ family: address.ip.family, table: 'nat' }, [
    ...chainRules(owner, address).map((rule) => `-C ${chain} ${rule}`),
    `-C ${POSTROUTING} ${jumpRule(owner, address)}`,
  ]);
}

function chainOf({ network, containerID }: Owner): string {
  return iptablesChainName(network, containerID);
}

function commentOf({ network, containerID }: Owner): string {
  return iptablesComment(`name: "${network}" id: "${containerID}"`);
}

function chainRules(owner: Owner, address: Cidr): string[] {
  const comment = commentOf(owner);
  return [
    `-d ${formatCidr(networkOf(address))} ${comment} -j ACCEPT`,
    `! -d ${multicast[address.ip.family]} ${comment} -j MASQUERADE`,
  ];
}

function jumpRule(owner: Owner, { ip }: Cidr): string {
  const host = quoteIptables(`${formatIp(ip)}/${ip.family === 4 ? 32 : 128}`);
  return `-s ${host} ${commentOf(owner)} -j ${chainOf(owner)}`;
}

function byFamily(addresses: readonly Cidr[]): [IpFamily, Cidr[]][] {
  return [...Map.groupBy(addresses, ({ ip }) => ip.family)];
}
