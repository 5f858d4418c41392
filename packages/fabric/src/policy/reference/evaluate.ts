// The meaning of network policies, written to be read beside their specifications and to check the rest of this folder against.
// It takes documents as they are and looks at all of them for each packet: no translation, no index. The tests use it; nothing else.
import { formatIp } from '@amphipod/netlink';
import {
  type AdminRule,
  type CalicoRule,
  type Direction,
  type NetworkPolicyRule,
  type PolicyResource,
  type Resource,
  resourceKey,
} from '../documents/resources.ts';
import { adminAction } from './evaluate-admin-policy.ts';
import { calicoAction } from './evaluate-calico-policy.ts';
import { matchesNetworkPolicyRule } from './evaluate-network-policy.ts';
import {
  holds,
  type Probe,
  type Question,
  selects,
  selectsPod,
  tierOf,
  type Verdict,
  World,
} from './world.ts';

export type { Probe, Verdict } from './world.ts';

/** A packet needs the consent of its sender's egress policies and of its receiver's ingress policies. */
export function evaluate(resources: readonly Resource[], probe: Probe): Verdict {
  const world = new World(resources);
  // A pod cannot be kept from itself.
  if (formatIp(probe.src) === formatIp(probe.dst)) return { isAllowed: true, by: 'no policy' };
  const sender = world.podAt(probe.src);
  const receiver = world.podAt(probe.dst);
  const egress = sender && evaluateEnd(world, { pod: sender, direction: 'egress', probe });
  if (egress?.isAllowed === false) return egress;
  const ingress = receiver && evaluateEnd(world, { pod: receiver, direction: 'ingress', probe });
  return ingress ?? egress ?? { isAllowed: true, by: 'no policy' };
}

function evaluateEnd(world: World, question: Question): Verdict {
  const { direction, pod } = question;
  const applying = world.policies.filter((policy) => appliesTo(world, policy, { pod, direction }));
  for (const tier of world.tiersOf(applying)) {
    const policies = applying.filter((policy) => tierOf(policy) === tier.name).toSorted(byOrder);
    const answer = evaluateTier(world, policies, question);
    if (answer?.action === 'pass') continue;
    if (answer !== undefined) {
      return { isAllowed: answer.action === 'allow', by: `${direction}: ${answer.by}` };
    }
    if (tier.defaultAction === 'deny')
      return { isAllowed: false, by: `${direction}: end of tier ${tier.name}` };
  }
  return { isAllowed: true, by: 'no policy' };
}

interface Answer {
  action: 'allow' | 'deny' | 'pass';
  by: string;
}

/** The first rule that matches and does more than to log. */
function evaluateTier(
  world: World,
  policies: readonly PolicyResource[],
  question: Question,
): Answer | undefined {
  for (const policy of policies) {
    for (const rule of policy[question.direction]) {
      const action = actionOf(world, { policy, rule }, question);
      if (action !== undefined) return { action, by: `${resourceKey(policy.origin)} ${rule.path}` };
    }
  }
  return undefined;
}

function orderOf(policy: PolicyResource): number {
  switch (policy.type) {
    case 'network-policy':
      return 1000;
    case 'admin-policy':
      return policy.priority;
    case 'calico-policy':
      return policy.order ?? Number.POSITIVE_INFINITY;
  }
}

function byOrder(a: PolicyResource, b: PolicyResource): number {
  const [x, y] = [a, b].map((one) => [orderOf(one), one.origin.name, resourceKey(one.origin)] as const);
  for (const place of [0, 1, 2] as const) if (x![place] !== y![place]) return x![place] < y![place] ? -1 : 1;
  return 0;
}

function appliesTo(
  world: World,
  policy: PolicyResource,
  { pod, direction }: Omit<Question, 'probe'>,
): boolean {
  const namespace = pod.origin.namespace!;
  switch (policy.type) {
    case 'network-policy':
      return (
        policy.directions.includes(direction) &&
        policy.origin.namespace === namespace &&
        selects(policy.podSelector, pod.labels)
      );
    case 'admin-policy':
      return policy[direction].length > 0 && selectsPod(world, policy.subject, pod);
    case 'calico-policy':
      return (
        !policy.isStaged &&
        !policy.isForHosts &&
        policy.directions.includes(direction) &&
        (policy.origin.namespace ?? namespace) === namespace &&
        policy.namespaceSelector !== 'global' &&
        holds(policy.namespaceSelector, world.calicoNamespaceLabels(namespace)) &&
        holds(policy.selector, world.calicoLabels(pod)) &&
        holds(policy.serviceAccountSelector, world.serviceAccountLabels(pod))
      );
  }
}

type PolicyWithRule = { policy: PolicyResource; rule: PolicyResource[Direction][number] };

/** What the rule says of the packet; undefined when it says nothing. */
function actionOf(
  world: World,
  { policy, rule }: PolicyWithRule,
  question: Question,
): Answer['action'] | undefined {
  switch (policy.type) {
    case 'network-policy':
      return matchesNetworkPolicyRule(world, { policy, rule: rule as NetworkPolicyRule }, question)
        ? 'allow'
        : undefined;
    case 'admin-policy':
      return adminAction(world, rule as AdminRule, question);
    case 'calico-policy':
      return calicoAction(world, { policy, rule: rule as CalicoRule }, question);
  }
}
