import { formatIp, type IpAddress, tryParseIp } from '@amphipod/netlink';
import { describeResource } from '../documents/resources.ts';
import type { Packet } from '../model/decide.ts';
import { decideFlow, type EndDecision } from '../model/decide-flow.ts';
import type { Item, PolicyWorld } from '../model/policy-world.ts';

/** Labels that nobody has given the pod by hand. */
const NOT_FOR_PEOPLE = /[@:]|^(projectcalico\.org|io\.kubernetes\.[a-z]+\..*|io\.amphipod\..*$)/;

/** What becomes of a packet and why, for people and programs. */
export interface Explanation {
  isAllowed: boolean;
  ends: EndExplanation[];
}

export interface EndExplanation {
  direction: 'egress' | 'ingress';
  pod: string;
  isAllowed: boolean;
  /** `allowed by NetworkPolicy shop/web spec.ingress[0] (shop.yaml document 2)`. */
  why: string;
  /** What would change it. */
  hint?: string;
}

/** One end of a flow: a pod by name (`NAMESPACE/NAME`, `NAME` in `default`) or an address. @throws RangeError when there is none */
export function findEnd(world: PolicyWorld, text: string): readonly IpAddress[] {
  const ip = tryParseIp(text);
  if (ip !== undefined) return [ip];
  const [name, namespace = 'default'] = text.split('/').toReversed();
  for (const { origin, ips } of world.items) {
    if (origin.kind !== 'Pod' || origin.name !== name || origin.namespace !== namespace) continue;
    if (ips.length === 0) throw new RangeError(`find ${JSON.stringify(text)}: the pod has no address`);
    return ips;
  }
  throw new RangeError(`find ${JSON.stringify(text)}: no pod "${namespace}/${name}", and no IP address`);
}

/** Says whether the first packet of a flow passes, by which rule of which file, and what would change it. */
export function explainFlow(world: PolicyWorld, packet: Packet): Explanation {
  const { isAllowed, ends } = decideFlow(world, packet);
  return { isAllowed, ends: ends.map((end) => explainEnd(world, end, packet)) };
}

function explainEnd(
  world: PolicyWorld,
  { direction, pod, decision }: EndDecision,
  packet: Packet,
): EndExplanation {
  const common = { direction, pod: nameOf(pod), isAllowed: decision.isAllowed };
  switch (decision.by) {
    case 'no-policy':
      return { ...common, why: `no policy isolates it for ${direction}` };
    case 'rule': {
      const { origin } = decision.policy;
      const verb = decision.isAllowed ? 'allowed' : 'denied';
      return {
        ...common,
        why: `${verb} by ${describeResource(origin)} ${decision.rule.path} (${place(origin)})`,
      };
    }
    case 'end-of-tier': {
      const policies = decision.policies.map(
        ({ origin }) => `${describeResource(origin)} (${place(origin)})`,
      );
      const other = direction === 'ingress' ? packet.src : packet.dst;
      return {
        ...common,
        why: `isolated by ${policies.join(', ')}, none of whose rules matches`,
        hint: `a rule for ${direction} that selects ${describeIp(world, other)}${portText(packet)} would allow it`,
      };
    }
  }
}

function nameOf({ origin }: Item): string {
  return `${origin.namespace}/${origin.name}`;
}

function place({ file, document }: { file: string; document: number }): string {
  return `${file} document ${document}`;
}

function describeIp(world: PolicyWorld, ip: IpAddress): string {
  const pod = world.itemsAt(ip).find(({ origin }) => origin.kind === 'Pod');
  if (pod === undefined) return formatIp(ip);
  const labels = [...pod.labels].filter(([key]) => !NOT_FOR_PEOPLE.test(key));
  const shown = labels.map(([key, value]) => `${key}=${value}`).join(',');
  return `${nameOf(pod)} (${shown === '' ? 'no labels' : shown})`;
}

function portText({ protocol, dstPort }: Packet): string {
  const names: Record<number, string> = { 6: 'TCP', 17: 'UDP', 132: 'SCTP', 1: 'ICMP', 58: 'ICMPv6' };
  const name = names[protocol] ?? `protocol ${protocol}`;
  return dstPort === undefined ? `, ${name}` : `, ${name} port ${dstPort}`;
}
