import { contains, formatIp, type IpAddress } from '@amphipod/netlink';
import { matchesSelector, type Selector } from '../../selector/selector.ts';
import type {
  Direction,
  LabelSelector,
  NetworkSetResource,
  PodResource,
  PodsSubject,
  PolicyResource,
  PortMatch,
  Resource,
} from '../documents/resources.ts';

/** The first packet of a flow. */
export interface Probe {
  src: IpAddress;
  dst: IpAddress;
  protocol: number;
  srcPort?: number;
  dstPort?: number;
  icmp?: { type: number; code: number };
}

/** What becomes of it, and which rule (`resourceKey path`), tier or absence of policies decided. */
export interface Verdict {
  isAllowed: boolean;
  /** `egress: NetworkPolicy.networking.k8s.io shop/web spec.egress[0]`, `ingress: end of tier default`, `no policy`. */
  by: string;
}

/** What one end is asked. */
export interface Question {
  pod: PodResource;
  direction: Direction;
  probe: Probe;
}

/** A label selector of Kubernetes. */
export function selects(
  { matchLabels, matchExpressions }: LabelSelector,
  labels: Record<string, string>,
): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every((expression) => fulfils(expression, labels[expression.key]))
  );
}

function fulfils(
  { operator, values }: LabelSelector['matchExpressions'][number],
  value: string | undefined,
): boolean {
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
  }
}

/** True when there is no selector. */
export function holds(selector: Selector | undefined, labels: ReadonlyMap<string, string>): boolean {
  return selector === undefined || matchesSelector(selector, labels);
}

/** True for a pod of the subject, which may be a peer as well. */
export function selectsPod(
  world: World,
  { namespaceSelector, podSelector }: PodsSubject,
  pod: PodResource,
): boolean {
  return (
    selects(namespaceSelector, world.namespaceLabels(pod.origin.namespace!)) &&
    (podSelector === undefined || selects(podSelector, pod.labels))
  );
}

/** Also by the port's name in the destination's pod. */
export function matchesDestinationPort(
  world: World,
  port: PortMatch,
  { dst, dstPort, protocol }: Probe,
): boolean {
  if (dstPort === undefined) return false;
  if (!('name' in port)) return port.first <= dstPort && dstPort <= port.last;
  const named = world.podAt(dst)?.ports ?? [];
  return named.some((one) => one.name === port.name && one.protocol === protocol && one.port === dstPort);
}

/** The tier that a policy is in. */
export function tierOf(policy: PolicyResource): string {
  switch (policy.type) {
    case 'network-policy':
      return 'default';
    case 'admin-policy':
      return policy.tier === 'admin' ? 'kube-admin' : 'kube-baseline';
    case 'calico-policy':
      return policy.tier;
  }
}

interface Tier {
  name: string;
  order: number;
  defaultAction: 'deny' | 'pass';
}

/** What there is, looked through from the beginning for each question. */
export class World {
  readonly policies: PolicyResource[];
  readonly #resources: readonly Resource[];

  constructor(resources: readonly Resource[]) {
    this.#resources = resources;
    this.policies = resources.filter(
      ({ type }) => type === 'network-policy' || type === 'calico-policy' || type === 'admin-policy',
    ) as PolicyResource[];
  }

  tiersOf(policies: readonly PolicyResource[]): Tier[] {
    const names = [...new Set(policies.map(tierOf))];
    return names
      .map((name) => this.#tier(name))
      .toSorted((a, b) => {
        if (a.order !== b.order) return a.order - b.order;
        return a.name < b.name ? -1 : 1;
      });
  }

  #tier(name: string): Tier {
    if (name === 'kube-admin') return { name, order: 1000, defaultAction: 'pass' };
    if (name === 'default') return { name, order: 1_000_000, defaultAction: 'deny' };
    if (name === 'kube-baseline') return { name, order: 10_000_000, defaultAction: 'pass' };
    const tier = this.#resources.find((one) => one.type === 'tier' && one.origin.name === name);
    if (tier?.type !== 'tier') return { name, order: Number.POSITIVE_INFINITY, defaultAction: 'deny' };
    return { name, order: tier.order ?? Number.POSITIVE_INFINITY, defaultAction: tier.defaultAction };
  }

  /** A pod on the host's network is the node, and one that has ended has no address. */
  podAt(ip: IpAddress): PodResource | undefined {
    return this.#resources.find(
      (one): one is PodResource =>
        one.type === 'pod' &&
        !one.isHostNetwork &&
        !one.isFinished &&
        one.ips.some((own) => formatIp(own) === formatIp(ip)),
    );
  }

  /** The pod and the network sets of Calico that have the address. */
  endpointsAt(ip: IpAddress): (PodResource | NetworkSetResource)[] {
    const pod = this.podAt(ip);
    const sets = this.#resources.filter(
      (one): one is NetworkSetResource =>
        one.type === 'network-set' && one.nets.some((net) => contains(net, ip)),
    );
    return pod === undefined ? sets : [pod, ...sets];
  }

  namespaceLabels(name: string): Record<string, string> {
    const namespace = this.#resources.find((one) => one.type === 'namespace' && one.origin.name === name);
    return namespace?.type === 'namespace' ? namespace.labels : { 'kubernetes.io/metadata.name': name };
  }

  calicoNamespaceLabels(name: string): ReadonlyMap<string, string> {
    return new Map(Object.entries({ ...this.namespaceLabels(name), 'projectcalico.org/name': name }));
  }

  calicoLabels(one: PodResource | NetworkSetResource): ReadonlyMap<string, string> {
    const { namespace } = one.origin;
    return new Map(
      Object.entries({
        ...one.labels,
        ...(namespace !== undefined && { 'projectcalico.org/namespace': namespace }),
        ...(one.type === 'pod' && {
          'projectcalico.org/orchestrator': 'k8s',
          'projectcalico.org/serviceaccount': one.serviceAccount,
        }),
      }),
    );
  }

  serviceAccountLabels({ origin, serviceAccount }: PodResource): ReadonlyMap<string, string> {
    const account = this.#resources.find(
      (one) =>
        one.type === 'service-account' &&
        one.origin.namespace === origin.namespace &&
        one.origin.name === serviceAccount,
    );
    const labels = account?.type === 'service-account' ? account.labels : {};
    return new Map(Object.entries({ ...labels, 'projectcalico.org/name': serviceAccount }));
  }
}
