import { contains, type IpAddress } from '@amphipod/netlink';
import { matchesSelector } from '../../selector/selector.ts';
import type { Direction, IcmpMatch, PortMatch } from '../documents/resources.ts';
import {
  comparePolicies,
  compareTiers,
  type EntityMatch,
  type ModelPolicy,
  type ModelRule,
  type TierPolicies,
} from './model.ts';
import type { Item, PolicyWorld } from './policy-world.ts';

/** The first packet of a flow. */
export interface Packet {
  src: IpAddress;
  dst: IpAddress;
  /** IP protocol number. */
  protocol: number;
  /** Of TCP, UDP and SCTP. */
  srcPort?: number;
  dstPort?: number;
  icmp?: { type: number; code: number };
}

/** Why a packet passes one end, or does not. */
export type Decision =
  /** A rule said so. */
  | { isAllowed: boolean; by: 'rule'; policy: ModelPolicy; rule: ModelRule }
  /** Policies of the tier apply, and none of their rules matches. */
  | { isAllowed: false; by: 'end-of-tier'; tier: string; policies: readonly ModelPolicy[] }
  /** No policy that decides. */
  | { isAllowed: true; by: 'no-policy' };

/** What the policies of one pod say to a packet from it or to it. */
export function decide(
  world: PolicyWorld,
  subject: Item,
  { direction, packet }: { direction: Direction; packet: Packet },
): Decision {
  return decideInTiers(world, policiesFor(world, subject, direction), { direction, packet });
}

/** As {@link decide}, for those who know which policies apply. */
export function decideInTiers(
  world: PolicyWorld,
  tiers: readonly TierPolicies[],
  { direction, packet }: { direction: Direction; packet: Packet },
): Decision {
  for (const { tier, policies } of tiers) {
    const decision = decideInTier(world, policies, { direction, packet });
    if (decision === 'pass') continue;
    if (decision !== undefined) return decision;
    if (tier.defaultAction === 'deny')
      return { isAllowed: false, by: 'end-of-tier', tier: tier.name, policies };
  }
  return { isAllowed: true, by: 'no-policy' };
}

/** The policies that apply to a pod, in the order in which they are asked. */
export function policiesFor(world: PolicyWorld, subject: Item, direction: Direction) {
  const applying = [...world.policies].filter(
    (policy) => policy.rules[direction] !== undefined && matchesSelector(policy.subject, subject.labels),
  );
  return [...Map.groupBy(applying, ({ tier }) => tier)]
    .map(([name, policies]) => ({ tier: world.tier(name), policies: policies.toSorted(comparePolicies) }))
    .toSorted((a, b) => compareTiers(a.tier, b.tier));
}

function decideInTier(
  world: PolicyWorld,
  policies: readonly ModelPolicy[],
  { direction, packet }: { direction: Direction; packet: Packet },
): Decision | 'pass' | undefined {
  for (const policy of policies) {
    for (const rule of policy.rules[direction]!) {
      if (rule.action === 'log' || !matchesRule(world, rule, packet)) continue;
      if (rule.action === 'pass') return 'pass';
      return { isAllowed: rule.action === 'allow', by: 'rule', policy, rule };
    }
  }
  return undefined;
}

/** True when the packet is one of those that the rule is about. */
export function matchesRule(world: PolicyWorld, rule: ModelRule, packet: Packet): boolean {
  const { ipVersion, protocol, notProtocol, icmp, notIcmp } = rule;
  return (
    (ipVersion === undefined || ipVersion === packet.src.family) &&
    (protocol === undefined || protocol === packet.protocol) &&
    (notProtocol === undefined || notProtocol !== packet.protocol) &&
    (icmp === undefined || matchesIcmp(icmp, packet)) &&
    (notIcmp === undefined || !matchesIcmp(notIcmp, packet)) &&
    matchesEntity(world, rule.source, { ip: packet.src, port: packet.srcPort, packet }) &&
    matchesEntity(world, rule.destination, { ip: packet.dst, port: packet.dstPort, packet })
  );
}

function matchesIcmp({ type, code }: IcmpMatch, { icmp }: Packet): boolean {
  return (
    icmp !== undefined &&
    (type === undefined || type === icmp.type) &&
    (code === undefined || code === icmp.code)
  );
}

interface End {
  ip: IpAddress;
  port: number | undefined;
  packet: Packet;
}

function matchesEntity(world: PolicyWorld, match: EntityMatch, end: End): boolean {
  const { selector, notSelector, nets, notNets, ports, notPorts } = match;
  const { ip } = end;
  if (nets !== undefined) {
    const isIn = nets.some(
      ({ cidr, except }) => contains(cidr, ip) && !except.some((part) => contains(part, ip)),
    );
    if (!isIn) return false;
  }
  if (notNets?.some((net) => contains(net, ip))) return false;
  if (selector === undefined && notSelector === undefined && ports === undefined && notPorts === undefined)
    return true;
  const items = world.itemsAt(ip);
  const selected = items.filter(({ labels }) => selector === undefined || matchesSelector(selector, labels));
  if (selector !== undefined && selected.length === 0) return false;
  if (notSelector !== undefined && items.some(({ labels }) => matchesSelector(notSelector, labels)))
    return false;
  if (ports !== undefined && !ports.some((port) => matchesPort(port, selected, end))) return false;
  return !notPorts?.some((port) => matchesPort(port, selected, end));
}

function matchesPort(match: PortMatch, items: readonly Item[], { port, packet }: End): boolean {
  if (port === undefined) return false;
  if (!('name' in match)) return match.first <= port && port <= match.last;
  return items.some(({ ports }) =>
    ports.some(
      (named) => named.name === match.name && named.protocol === packet.protocol && named.port === port,
    ),
  );
}
