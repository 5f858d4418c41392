import type { Cidr, IpAddress } from '@amphipod/netlink';
import type { Selector } from '../../selector/selector.ts';
import type { DocumentPlace } from './fields.ts';

export type Direction = 'ingress' | 'egress';
/** What a rule does with a packet that it matches; `pass` goes on to the next tier, `log` to the next rule. */
export type RuleAction = 'allow' | 'deny' | 'pass' | 'log';

/** Where a resource comes from, and its name. */
export interface ResourceOrigin extends DocumentPlace {
  kind: ResourceKind;
  /** Tells kinds of one name apart: Kubernetes and Calico both have a NetworkPolicy. */
  group: 'core' | 'networking.k8s.io' | 'projectcalico.org' | 'policy.networking.k8s.io';
  namespace?: string;
  name: string;
}

export type ResourceKind =
  | 'Pod'
  | 'Namespace'
  | 'ServiceAccount'
  | 'NetworkPolicy'
  | 'GlobalNetworkPolicy'
  | 'StagedNetworkPolicy'
  | 'StagedGlobalNetworkPolicy'
  | 'Tier'
  | 'NetworkSet'
  | 'GlobalNetworkSet'
  | 'AdminNetworkPolicy'
  | 'BaselineAdminNetworkPolicy'
  | 'ClusterNetworkPolicy';

/** metav1.LabelSelector; without anything in it, it matches all. */
export interface LabelSelector {
  matchLabels: Record<string, string>;
  matchExpressions: { key: string; operator: LabelOperator; values: string[] }[];
}

export type LabelOperator = 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';

/** A port with a name, of a pod's container. */
export interface NamedPort {
  name: string;
  /** IP protocol number. */
  protocol: number;
  port: number;
}

export interface PodResource {
  type: 'pod';
  origin: ResourceOrigin;
  labels: Record<string, string>;
  serviceAccount: string;
  /** Such a pod is the node itself: no policy selects it. */
  isHostNetwork: boolean;
  /** A pod that has ended owns no address, whatever its status says. */
  isFinished: boolean;
  ips: IpAddress[];
  ports: NamedPort[];
  /** The node that it runs on; absent where nobody said. */
  node?: string;
}

export interface NamespaceResource {
  type: 'namespace';
  origin: ResourceOrigin;
  /** With `kubernetes.io/metadata.name`. */
  labels: Record<string, string>;
}

export interface ServiceAccountResource {
  type: 'service-account';
  origin: ResourceOrigin;
  labels: Record<string, string>;
}

/** A number or a range, both ends included, or the name of a container's port. */
export type PortMatch = { first: number; last: number } | { name: string };

export type NetworkPolicyPeer =
  | { ipBlock: { cidr: Cidr; except: Cidr[] } }
  | { podSelector?: LabelSelector; namespaceSelector?: LabelSelector };

export interface NetworkPolicyRule {
  /** `spec.ingress[0]` */
  path: string;
  /** None: anybody, also outside of the cluster. */
  peers: NetworkPolicyPeer[];
  /** None: all protocols. Without `port`: all ports of the protocol. */
  ports: { protocol: number; port?: PortMatch }[];
}

/** networking.k8s.io/v1 */
export interface NetworkPolicyResource {
  type: 'network-policy';
  origin: ResourceOrigin;
  podSelector: LabelSelector;
  directions: Direction[];
  ingress: NetworkPolicyRule[];
  egress: NetworkPolicyRule[];
}

/** One end of a rule of Calico: all that is given must hold. */
export interface CalicoEntity {
  nets?: Cidr[];
  notNets?: Cidr[];
  selector?: Selector;
  notSelector?: Selector;
  /** `global`: what is in no namespace. */
  namespaceSelector?: Selector | 'global';
  ports?: PortMatch[];
  notPorts?: PortMatch[];
  serviceAccounts?: { names: string[]; selector?: Selector };
}

export interface IcmpMatch {
  type?: number;
  code?: number;
}

export interface CalicoRule {
  path: string;
  action: RuleAction;
  ipVersion?: 4 | 6;
  protocol?: number;
  notProtocol?: number;
  icmp?: IcmpMatch;
  notIcmp?: IcmpMatch;
  source: CalicoEntity;
  destination: CalicoEntity;
  /** Keys that are valid and not supported here: the rule allows nothing more, and denies all that it might. */
  unsupported: string[];
}

/** NetworkPolicy and GlobalNetworkPolicy of projectcalico.org/v3. */
export interface CalicoPolicyResource {
  type: 'calico-policy';
  origin: ResourceOrigin;
  tier: string;
  /** Lower comes first; absent comes last. */
  order?: number;
  selector: Selector;
  /** Of global policies. */
  namespaceSelector?: Selector | 'global';
  serviceAccountSelector?: Selector;
  directions: Direction[];
  ingress: CalicoRule[];
  egress: CalicoRule[];
  /** Looked at, never enforced. */
  isStaged: boolean;
  /** For host endpoints only; means nothing to pods. */
  isForHosts: boolean;
}

export interface TierResource {
  type: 'tier';
  origin: ResourceOrigin;
  order?: number;
  defaultAction: 'deny' | 'pass';
}

export interface NetworkSetResource {
  type: 'network-set';
  origin: ResourceOrigin;
  labels: Record<string, string>;
  nets: Cidr[];
}

export interface PodsSubject {
  namespaceSelector: LabelSelector;
  /** Absent: all pods of those namespaces. */
  podSelector?: LabelSelector;
}

/** `unsupported` names a kind of peer that is not understood here. */
export type AdminPeer = PodsSubject | { networks: Cidr[] } | { unsupported: string };

export interface AdminRule {
  path: string;
  name: string;
  action: 'allow' | 'deny' | 'pass';
  peers: AdminPeer[];
  /** Absent: all protocols. */
  ports?: AdminPort[];
}

/** Without `port`: all ports of the protocol. A named port has no protocol of its own. */
export type AdminPort =
  | { protocol: number; port?: { first: number; last: number } }
  | { name: string }
  | { unsupported: string };

/** AdminNetworkPolicy, BaselineAdminNetworkPolicy and ClusterNetworkPolicy. */
export interface AdminPolicyResource {
  type: 'admin-policy';
  origin: ResourceOrigin;
  tier: 'admin' | 'baseline';
  /** Lower comes first. */
  priority: number;
  subject: PodsSubject;
  ingress: AdminRule[];
  egress: AdminRule[];
}

export type PolicyResource = NetworkPolicyResource | CalicoPolicyResource | AdminPolicyResource;

export type Resource =
  | PodResource
  | NamespaceResource
  | ServiceAccountResource
  | PolicyResource
  | TierResource
  | NetworkSetResource;

/** `NetworkPolicy.projectcalico.org default/web`: one text for each resource there can be. */
export function resourceKey({
  kind,
  group,
  namespace,
  name,
}: Pick<ResourceOrigin, 'kind' | 'group' | 'namespace' | 'name'>): string {
  return `${kind}.${group} ${namespace === undefined ? '' : `${namespace}/`}${name}`;
}

/** `NetworkPolicy default/web`, for people. */
export function describeResource({ kind, namespace, name }: ResourceOrigin): string {
  return `${kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`;
}
