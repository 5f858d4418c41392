import { compareIp } from '@amphipod/netlink';
import type { Direction } from '../documents/resources.ts';
import { type Decision, decide, type Packet } from './decide.ts';
import type { Item, PolicyWorld } from './policy-world.ts';

/** What one end says. */
export interface EndDecision {
  direction: Direction;
  pod: Item;
  decision: Decision;
}

export interface FlowDecision {
  isAllowed: boolean;
  /** Of the ends that are pods: first the sender's egress, then the receiver's ingress. */
  ends: EndDecision[];
  /** In one line, the end that decided. */
  summary: { isAllowed: boolean; by: string };
}

/** Whether the first packet of a flow gets from one end to the other. A pod always reaches itself. */
export function decideFlow(world: PolicyWorld, packet: Packet): FlowDecision {
  const ends = compareIp(packet.src, packet.dst) === 0 ? [] : endsOf(world, packet);
  const decided = ends.map(({ direction, pod }) => ({
    direction,
    pod,
    decision: decide(world, pod, { direction, packet }),
  }));
  const denied = decided.find(({ decision }) => !decision.isAllowed);
  const isAllowed = denied === undefined;
  return { isAllowed, ends: decided, summary: { isAllowed, by: describeEnd(denied ?? decided.at(-1)) } };
}

function endsOf(world: PolicyWorld, { src, dst }: Packet): Omit<EndDecision, 'decision'>[] {
  const pods = (ip: Packet['src']) => world.itemsAt(ip).filter(({ ips }) => ips.length > 0);
  return [
    ...pods(src).map((pod) => ({ direction: 'egress', pod }) as const),
    ...pods(dst).map((pod) => ({ direction: 'ingress', pod }) as const),
  ];
}

function describeEnd(end: EndDecision | undefined): string {
  if (end === undefined) return 'no policy';
  const { direction, decision } = end;
  switch (decision.by) {
    case 'rule':
      return `${direction}: ${decision.policy.key} ${decision.rule.path}`;
    case 'end-of-tier':
      return `${direction}: end of tier ${decision.tier}`;
    case 'no-policy':
      return 'no policy';
  }
}
