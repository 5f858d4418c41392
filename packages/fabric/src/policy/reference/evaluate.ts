// The meaning of network policies, written to be read beside their specifications and to check the rest of this folder against.
// It takes documents as they are and looks at all of them for each packet: no translation, no index. The tests use it; nothing else.
import { contains, formatIp, type IpAddress } from '@amphipod/netlink';
import { matchesSelector, type Selector } from '../../selector/selector.ts';
import {
  type AdminPeer,
  type AdminRule,
  type CalicoEntity,
  type CalicoPolicyResource,
  type CalicoRule,
  type Direction,
  type LabelSelector,
  type NetworkPolicyPeer,
  type NetworkPolicyResource,
  type NetworkPolicyRule,
  type NetworkSetResource,
  type PodResource,
  type PodsSubject,
  type PolicyResource,
  type PortMatch,
  type Resource,
  resourceKey,
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

interface Question {
  pod: PodResource;
  direction: Direction;
  probe: Probe;
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

function tierOf(policy: PolicyResource): string {
  switch (policy.type) {
    case 'network-policy':
      return 'default';
    case 'admin-policy':
      return policy.tier === 'admin' ? 'kube-admin' : 'kube-baseline';
    case 'calico-policy':
      return policy.tier;
  }
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

// ---- NetworkPolicy

function matchesNetworkPolicyRule(
  world: World,
  { policy, rule }: { policy: NetworkPolicyResource; rule: NetworkPolicyRule },
  { direction, probe }: Question,
): boolean {
  const other = direction === 'ingress' ? probe.src : probe.dst;
  const peers = rule.peers.filter((peer) =>
    matchesPeer(world, { peer, ip: other, namespace: policy.origin.namespace! }),
  );
  if (rule.peers.length > 0 && peers.length === 0) return false;
  return (
    rule.ports.length === 0 ||
    rule.ports.some(({ protocol, port }) => {
      if (protocol !== probe.protocol) return false;
      // What is outside has no names for its ports: only a peer that is a pod will do.
      const isBlock = rule.peers.length > 0 && peers.every((peer) => 'ipBlock' in peer);
      if (port !== undefined && 'name' in port && direction === 'egress' && isBlock) return false;
      return port === undefined || matchesDestinationPort(world, port, probe);
    })
  );
}

function matchesPeer(
  world: World,
  { peer, ip, namespace }: { peer: NetworkPolicyPeer; ip: IpAddress; namespace: string },
): boolean {
  if ('ipBlock' in peer) {
    const { cidr, except } = peer.ipBlock;
    return contains(cidr, ip) && !except.some((part) => contains(part, ip));
  }
  const pod = world.podAt(ip);
  if (pod === undefined) return false;
  const { podSelector, namespaceSelector } = peer;
  const isThere =
    namespaceSelector === undefined
      ? pod.origin.namespace === namespace
      : selects(namespaceSelector, world.namespaceLabels(pod.origin.namespace!));
  return isThere && (podSelector === undefined || selects(podSelector, pod.labels));
}

function matchesDestinationPort(world: World, port: PortMatch, { dst, dstPort, protocol }: Probe): boolean {
  if (dstPort === undefined) return false;
  if (!('name' in port)) return port.first <= dstPort && dstPort <= port.last;
  const named = world.podAt(dst)?.ports ?? [];
  return named.some((one) => one.name === port.name && one.protocol === protocol && one.port === dstPort);
}

// ---- AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy

function adminAction(
  world: World,
  rule: AdminRule,
  { direction, probe }: Question,
): Answer['action'] | undefined {
  const other = direction === 'ingress' ? probe.src : probe.dst;
  // In the order of the rule: what is not understood denies, unless the rule allows; then it does nothing.
  for (const peer of rule.peers) {
    const isUnknownPeer = 'unsupported' in peer;
    if (isUnknownPeer ? rule.action === 'allow' : !matchesAdminPeer(world, peer, other)) continue;
    for (const port of rule.ports ?? [undefined]) {
      const isUnknownPort = port !== undefined && 'unsupported' in port;
      if (isUnknownPort && rule.action === 'allow') continue;
      if (port !== undefined && !isUnknownPort) {
        if ('name' in port) {
          if (direction === 'egress' && 'networks' in peer) continue;
          if (!matchesDestinationPort(world, port, probe)) continue;
        } else if (port.protocol !== probe.protocol) continue;
        else if (port.port !== undefined && !matchesDestinationPort(world, port.port, probe)) continue;
      }
      return isUnknownPeer || isUnknownPort ? 'deny' : rule.action;
    }
  }
  return undefined;
}

function matchesAdminPeer(
  world: World,
  peer: Exclude<AdminPeer, { unsupported: string }>,
  ip: IpAddress,
): boolean {
  if ('networks' in peer) return peer.networks.some((net) => contains(net, ip));
  const pod = world.podAt(ip);
  return pod !== undefined && selectsPod(world, peer, pod);
}

function selectsPod(
  world: World,
  { namespaceSelector, podSelector }: PodsSubject,
  pod: PodResource,
): boolean {
  return (
    selects(namespaceSelector, world.namespaceLabels(pod.origin.namespace!)) &&
    (podSelector === undefined || selects(podSelector, pod.labels))
  );
}

// ---- Calico

function calicoAction(
  world: World,
  { policy, rule }: { policy: CalicoPolicyResource; rule: CalicoRule },
  { probe }: Question,
): Answer['action'] | undefined {
  if (rule.action === 'log' || !matchesCalicoRule(world, { policy, rule }, probe)) return undefined;
  if (rule.unsupported.length === 0 || rule.action === 'deny') return rule.action;
  return rule.action === 'allow' ? undefined : 'deny';
}

function matchesCalicoRule(
  world: World,
  { policy, rule }: { policy: CalicoPolicyResource; rule: CalicoRule },
  probe: Probe,
): boolean {
  const { ipVersion, protocol, notProtocol, icmp, notIcmp } = rule;
  if (ipVersion !== undefined && ipVersion !== probe.src.family) return false;
  if (protocol !== undefined && protocol !== probe.protocol) return false;
  if (notProtocol !== undefined && notProtocol === probe.protocol) return false;
  const isIcmp = ({ type, code }: NonNullable<typeof icmp>) =>
    probe.icmp !== undefined &&
    (type ?? probe.icmp.type) === probe.icmp.type &&
    (code ?? probe.icmp.code) === probe.icmp.code;
  if (icmp !== undefined && !isIcmp(icmp)) return false;
  if (notIcmp !== undefined && isIcmp(notIcmp)) return false;
  const { namespace } = policy.origin;
  return (
    matchesCalicoEntity(world, rule.source, {
      ip: probe.src,
      port: probe.srcPort,
      protocol: probe.protocol,
      namespace,
    }) &&
    matchesCalicoEntity(world, rule.destination, {
      ip: probe.dst,
      port: probe.dstPort,
      protocol: probe.protocol,
      namespace,
    })
  );
}

interface CalicoEnd {
  ip: IpAddress;
  port: number | undefined;
  protocol: number;
  /** Of the policy. */
  namespace: string | undefined;
}

function matchesCalicoEntity(world: World, entity: CalicoEntity, end: CalicoEnd): boolean {
  const { ip, port, protocol } = end;
  const { nets, notNets, notSelector, ports, notPorts } = entity;
  if (nets !== undefined && !nets.some((net) => contains(net, ip))) return false;
  if (notNets?.some((net) => net.prefix > 0 && contains(net, ip))) return false;
  const there = world.endpointsAt(ip);
  const selected = there.filter((one) => isSelected(world, entity, { one, namespace: end.namespace }));
  if (needsEndpoint(entity, end.namespace) && selected.length === 0) return false;
  if (notSelector !== undefined && there.some((one) => matchesSelector(notSelector, world.calicoLabels(one))))
    return false;
  const isPort = (match: PortMatch) => {
    if (port === undefined) return false;
    if (!('name' in match)) return match.first <= port && port <= match.last;
    const pods = selected.filter((one) => one.type === 'pod');
    return pods.some((pod) =>
      pod.ports.some((one) => one.name === match.name && one.protocol === protocol && one.port === port),
    );
  };
  return (ports === undefined || ports.some(isPort)) && !notPorts?.some(isPort);
}

/** False for an end that may also be something that Calico has no endpoint for. */
function needsEndpoint(entity: CalicoEntity, namespace: string | undefined): boolean {
  const { selector, notSelector, namespaceSelector, serviceAccounts } = entity;
  if (selector !== undefined || namespaceSelector !== undefined || serviceAccounts !== undefined) return true;
  return notSelector !== undefined && namespace !== undefined;
}

function isSelected(
  world: World,
  { selector, notSelector, namespaceSelector, serviceAccounts }: CalicoEntity,
  { one, namespace }: { one: PodResource | NetworkSetResource; namespace: string | undefined },
): boolean {
  const own = one.origin.namespace;
  if (namespaceSelector === 'global') {
    if (own !== undefined) return false;
  } else if (namespaceSelector !== undefined) {
    if (own === undefined || !matchesSelector(namespaceSelector, world.calicoNamespaceLabels(own)))
      return false;
  } else if (
    namespace !== undefined &&
    (selector ?? notSelector ?? serviceAccounts) !== undefined &&
    own !== namespace
  ) {
    return false;
  }
  if (!holds(selector, world.calicoLabels(one))) return false;
  if (serviceAccounts === undefined) return true;
  if (one.type !== 'pod') return false;
  const { names, selector: accounts } = serviceAccounts;
  return (
    (names.length === 0 || names.includes(one.serviceAccount)) &&
    holds(accounts, world.serviceAccountLabels(one))
  );
}

// ---- What is there

function selects({ matchLabels, matchExpressions }: LabelSelector, labels: Record<string, string>): boolean {
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

function holds(selector: Selector | undefined, labels: ReadonlyMap<string, string>): boolean {
  return selector === undefined || matchesSelector(selector, labels);
}

interface Tier {
  name: string;
  order: number;
  defaultAction: 'deny' | 'pass';
}

class World {
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
