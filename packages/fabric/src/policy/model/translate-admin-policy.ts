import { allOf, type Selector } from '../../selector/selector.ts';
import {
  type AdminPeer,
  type AdminPolicyResource,
  type AdminPort,
  type AdminRule,
  type Direction,
  type PortMatch,
  resourceKey,
} from '../documents/resources.ts';
import { isPod } from './item-labels.ts';
import type { EntityMatch, ModelPolicy, ModelRule } from './model.ts';
import { translatePods } from './translate-label-selector.ts';

const namedPortProtocols = [6, 17, 132];

/** What the cluster-wide kinds are in tiers that come before and after those of NetworkPolicies. */
export function translateAdminPolicy(policy: AdminPolicyResource): ModelPolicy {
  const { origin, tier, priority } = policy;
  const subject = translatePods(policy.subject);
  const rulesOf = (direction: Direction) =>
    policy[direction].flatMap((rule) => translateRule(rule, direction, subject));
  return {
    key: resourceKey(origin),
    origin,
    tier: tier === 'admin' ? 'kube-admin' : 'kube-baseline',
    order: priority,
    subject,
    // A direction without rules decides nothing.
    rules: {
      ...(policy.ingress.length > 0 && { ingress: rulesOf('ingress') }),
      ...(policy.egress.length > 0 && { egress: rulesOf('egress') }),
    },
  };
}

/** A part of a rule; what is not understood matches nothing of an allowing rule, and makes all it might match denied otherwise. */
interface Part<T> {
  match: T;
  isUnknown: boolean;
}

interface PortGroup {
  protocol?: number;
  ports?: PortMatch[];
}

function translateRule(rule: AdminRule, direction: Direction, subject: Selector): ModelRule[] {
  const isKnown = ({ isUnknown }: Part<unknown>) => rule.action !== 'allow' || !isUnknown;
  const peers = rule.peers.map(translatePeer).filter(isKnown);
  const ports = (rule.ports === undefined ? [everyPort] : rule.ports.flatMap(translatePort)).filter(isKnown);
  return peers.flatMap((peer) =>
    ports.flatMap((port): ModelRule[] => {
      const { protocol, ports: matches } = port.match;
      const isNamed = matches?.some((match) => 'name' in match) ?? false;
      const common = {
        action: peer.isUnknown || port.isUnknown ? ('deny' as const) : rule.action,
        path: rule.path,
        ...(protocol !== undefined && { protocol }),
      };
      const own = isNamed ? { selector: allOf(isPod, subject) } : {};
      if (direction === 'ingress') {
        return [
          { ...common, source: peer.match, destination: { ...own, ...(matches && { ports: matches }) } },
        ];
      }
      if (isNamed && peer.match.nets !== undefined) return [];
      return [{ ...common, source: {}, destination: { ...peer.match, ...(matches && { ports: matches }) } }];
    }),
  );
}

function translatePeer(peer: AdminPeer): Part<EntityMatch> {
  if ('unsupported' in peer) return { match: {}, isUnknown: true };
  if ('networks' in peer) {
    return { match: { nets: peer.networks.map((cidr) => ({ cidr, except: [] })) }, isUnknown: false };
  }
  return { match: { selector: allOf(isPod, translatePods(peer)) }, isUnknown: false };
}

const everyPort: Part<PortGroup> = { match: {}, isUnknown: false };

function translatePort(port: AdminPort): Part<PortGroup>[] {
  if ('unsupported' in port) return [{ match: {}, isUnknown: true }];
  if ('name' in port) {
    return namedPortProtocols.map((protocol) => ({ match: { protocol, ports: [port] }, isUnknown: false }));
  }
  const { protocol, port: range } = port;
  return [{ match: { protocol, ...(range && { ports: [range] }) }, isUnknown: false }];
}
