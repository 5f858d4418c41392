import { allOf, type Selector } from '../../selector/selector.ts';
import {
  type Direction,
  type NetworkPolicyPeer,
  type NetworkPolicyResource,
  type NetworkPolicyRule,
  type PortMatch,
  resourceKey,
} from '../documents/resources.ts';
import { inNamespace, isPod } from './item-labels.ts';
import type { EntityMatch, ModelPolicy, ModelRule } from './model.ts';
import { translateLabelSelector } from './translate-label-selector.ts';

/** Where Calico has them among its own policies. */
const ORDER = 1000;

/** NetworkPolicies have no order among themselves: all of their rules allow, so that any order means the same. */
export function translateNetworkPolicy(policy: NetworkPolicyResource): ModelPolicy {
  const { origin, podSelector, directions } = policy;
  const namespace = inNamespace(origin.namespace!);
  const subject = allOf(namespace, translateLabelSelector(podSelector));
  const rules = Object.fromEntries(
    directions.map((direction) => [
      direction,
      policy[direction].flatMap((rule) => translateRule(rule, { direction, subject, namespace })),
    ]),
  );
  return { key: resourceKey(origin), origin, tier: 'default', order: ORDER, subject, rules };
}

interface RuleContext {
  direction: Direction;
  subject: Selector;
  /** Of the policy. */
  namespace: Selector;
}

function translateRule(rule: NetworkPolicyRule, context: RuleContext): ModelRule[] {
  const peers: EntityMatch[] =
    rule.peers.length === 0 ? [{}] : rule.peers.map((peer) => translatePeer(peer, context.namespace));
  return peers.flatMap((peer) =>
    portGroups(rule).flatMap(({ protocol, ports }): ModelRule[] => {
      const common = {
        action: 'allow',
        path: rule.path,
        ...(protocol !== undefined && { protocol }),
      } as const;
      if (context.direction === 'ingress') {
        // The port's name is looked up in the pods that the policy is for.
        const own = ports?.some((port) => 'name' in port) ? { selector: allOf(isPod, context.subject) } : {};
        return [{ ...common, source: peer, destination: { ...own, ...(ports && { ports }) } }];
      }
      // A network's addresses have no named ports.
      const usable = peer.nets === undefined ? ports : ports?.filter((port) => !('name' in port));
      if (usable?.length === 0) return [];
      return [{ ...common, source: {}, destination: { ...peer, ...(usable && { ports: usable }) } }];
    }),
  );
}

function translatePeer(peer: NetworkPolicyPeer, own: Selector): EntityMatch {
  if ('ipBlock' in peer) return { nets: [peer.ipBlock] };
  const { podSelector, namespaceSelector } = peer;
  const namespace = namespaceSelector === undefined ? own : translateLabelSelector(namespaceSelector, 'ns:');
  return { selector: allOf(isPod, namespace, podSelector && translateLabelSelector(podSelector)) };
}

/** The ports of each protocol together; one group without a protocol when there are none. */
function portGroups({ ports }: NetworkPolicyRule): { protocol?: number; ports?: PortMatch[] }[] {
  if (ports.length === 0) return [{}];
  return [...Map.groupBy(ports, ({ protocol }) => protocol)].map(([protocol, group]) => {
    const matches = group.map(({ port }) => port);
    // One that has no port stands for all of them.
    return matches.some((port) => port === undefined)
      ? { protocol }
      : { protocol, ports: matches.filter((port) => port !== undefined) };
  });
}
