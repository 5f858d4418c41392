import type { Cidr } from '@amphipod/netlink';
import type { Selector } from '../../selector/selector.ts';
import type { Direction, IcmpMatch, PortMatch, ResourceOrigin, RuleAction } from '../documents/resources.ts';

/** Networks without some parts of them. */
export interface NetBlock {
  cidr: Cidr;
  except: readonly Cidr[];
}

/** One end of a packet; all that is given must hold. Of a list one entry is enough. */
export interface EntityMatch {
  /** Over the labels of {@link itemLabels}. */
  selector?: Selector;
  notSelector?: Selector;
  nets?: readonly NetBlock[];
  notNets?: readonly Cidr[];
  /** A name is that of a port of the pod at this end, which `selector` may narrow down. */
  ports?: readonly PortMatch[];
  notPorts?: readonly PortMatch[];
}

/** Which packets, and what becomes of them. */
export interface ModelRule {
  action: RuleAction;
  ipVersion?: 4 | 6;
  /** IP protocol number. Given where there are ports. */
  protocol?: number;
  notProtocol?: number;
  icmp?: IcmpMatch;
  notIcmp?: IcmpMatch;
  source: EntityMatch;
  destination: EntityMatch;
  /** The rule of the document: `spec.ingress[0]`. */
  path: string;
}

/** What all kinds of policies are made into. */
export interface ModelPolicy {
  /** {@link resourceKey} of the document. */
  key: string;
  origin: ResourceOrigin;
  tier: string;
  /** Lower comes first, in its tier; Infinity where none is given. */
  order: number;
  /** Which pods it applies to. */
  subject: Selector;
  /** The rules of the directions that it applies to, in order. */
  rules: { readonly [D in Direction]?: readonly ModelRule[] };
}

/** Tiers are looked at in order. A policy of a tier that decides ends it; else, for pods that it has policies for, `defaultAction`. */
export interface ModelTier {
  name: string;
  order: number;
  defaultAction: 'deny' | 'pass';
}

/** The policies of one tier that apply to a pod. */
export interface TierPolicies {
  tier: ModelTier;
  /** In order. */
  policies: readonly ModelPolicy[];
}

/** Order of policies within a tier. */
export function comparePolicies(a: ModelPolicy, b: ModelPolicy): number {
  if (a.order !== b.order) return a.order - b.order;
  return compareText(a.origin.name, b.origin.name) || compareText(a.key, b.key);
}

/** Order of tiers. */
export function compareTiers(a: ModelTier, b: ModelTier): number {
  if (a.order !== b.order) return a.order - b.order;
  return compareText(a.name, b.name);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
