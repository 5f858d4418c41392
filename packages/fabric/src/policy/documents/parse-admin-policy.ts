import type { Fields } from './fields.ts';
import { readLabelSelector } from './read-label-selector.ts';
import { isPortName, MAX_PORT, portProtocols, readCidrs, readPortProtocol } from './read-values.ts';
import type {
  AdminPeer,
  AdminPolicyResource,
  AdminPort,
  AdminRule,
  PodsSubject,
  ResourceOrigin,
} from './resources.ts';

const MAX_PRIORITY = 1000;
const MAX_NETWORKS = 25;

/** What tells the three kinds apart. */
interface Dialect {
  actions: Record<string, AdminRule['action']>;
  maxRules: number;
  /** `ports` of the first version, `protocols` of the second. */
  portsKey: 'ports' | 'protocols';
}

const admin = { Allow: 'allow', Deny: 'deny', Pass: 'pass' } as const;
const dialects = {
  AdminNetworkPolicy: { actions: admin, maxRules: 100, portsKey: 'ports' },
  BaselineAdminNetworkPolicy: { actions: { Allow: 'allow', Deny: 'deny' }, maxRules: 100, portsKey: 'ports' },
  ClusterNetworkPolicy: {
    actions: { Accept: 'allow', Deny: 'deny', Pass: 'pass' },
    maxRules: 25,
    portsKey: 'protocols',
  },
} as const satisfies Record<string, Dialect>;

/** Reads the cluster-wide kinds of policy.networking.k8s.io. @throws FabricError `invalid-config` */
export function parseAdminPolicy(document: Fields, origin: ResourceOrigin): AdminPolicyResource {
  const kind = origin.kind as keyof typeof dialects;
  const dialect: Dialect = dialects[kind];
  const spec = document.need('spec', document.object('spec'));
  spec.allowOnly(
    ...['subject', 'ingress', 'egress'],
    ...(kind === 'BaselineAdminNetworkPolicy' ? [] : ['priority']),
    ...(kind === 'ClusterNetworkPolicy' ? ['tier'] : []),
  );
  if (kind === 'BaselineAdminNetworkPolicy' && origin.name !== 'default') {
    throw document.object('metadata')!.refusal('name', 'must be "default": there is only one');
  }
  return {
    type: 'admin-policy',
    origin,
    tier: readTier(spec, kind),
    priority:
      kind === 'BaselineAdminNetworkPolicy'
        ? MAX_PRIORITY
        : spec.need('priority', spec.integer('priority', 0, MAX_PRIORITY)),
    subject: readPods(spec.need('subject', spec.object('subject'))),
    ingress: readRules(spec, 'ingress', dialect),
    egress: readRules(spec, 'egress', dialect),
  };
}

function readTier(spec: Fields, kind: keyof typeof dialects): AdminPolicyResource['tier'] {
  if (kind !== 'ClusterNetworkPolicy') return kind === 'AdminNetworkPolicy' ? 'admin' : 'baseline';
  return spec.need('tier', spec.word('tier', ['Admin', 'Baseline'])) === 'Admin' ? 'admin' : 'baseline';
}

function readRules(spec: Fields, direction: 'ingress' | 'egress', dialect: Dialect): AdminRule[] {
  const rules = spec.list(direction) ?? [];
  if (rules.length > dialect.maxRules) {
    throw spec.refusal(direction, `more than ${dialect.maxRules} rules`);
  }
  return rules.map((rule) => readRule(rule, direction === 'ingress' ? 'from' : 'to', dialect));
}

function readRule(rule: Fields, peersKey: 'from' | 'to', dialect: Dialect): AdminRule {
  const { actions, portsKey } = dialect;
  rule.allowOnly('name', 'action', peersKey, portsKey);
  const action = actions[rule.need('action', rule.word('action', Object.keys(actions)))]!;
  const peers = rule.need(peersKey, rule.list(peersKey));
  if (peers.length === 0) throw rule.refusal(peersKey, 'must not be empty');
  const read = portsKey === 'ports' ? readPort : readProtocol;
  const ports = rule.list(portsKey)?.map(read);
  return {
    path: rule.path,
    name: rule.string('name') ?? '',
    action,
    peers: peers.map((peer) => readPeer(peer, peersKey)),
    ...(ports && ports.length > 0 && { ports }),
  };
}

/** `namespaces` or `pods` with its selectors. */
function readPods(fields: Fields): PodsSubject {
  fields.allowOnly('namespaces', 'pods');
  fields.allowOneOf('namespaces', 'pods');
  const pods = fields.object('pods');
  if (pods === undefined) {
    const namespaceSelector = readLabelSelector(fields, 'namespaces');
    return { namespaceSelector: fields.need('namespaces', namespaceSelector) };
  }
  pods.allowOnly('namespaceSelector', 'podSelector');
  const everything = { matchLabels: {}, matchExpressions: [] };
  return {
    namespaceSelector: readLabelSelector(pods, 'namespaceSelector') ?? everything,
    podSelector: readLabelSelector(pods, 'podSelector') ?? everything,
  };
}

/** A peer of a kind that is not known here is valid: later versions of the API have more of them. */
function readPeer(peer: Fields, peersKey: 'from' | 'to'): AdminPeer {
  const [kind, second] = peer.keys();
  if (second !== undefined) throw peer.refusal(second, `not together with ${kind}`);
  if (kind === 'namespaces' || kind === 'pods') return readPods(peer);
  if (kind === 'networks' && peersKey === 'to') {
    const networks = readCidrs(peer, 'networks')!;
    if (networks.length === 0 || networks.length > MAX_NETWORKS) {
      throw peer.refusal('networks', `must be 1 to ${MAX_NETWORKS} networks`);
    }
    return { networks };
  }
  return { unsupported: kind === undefined ? peer.path : peer.pathOf(kind) };
}

/** portNumber, portRange or namedPort. */
function readPort(fields: Fields): AdminPort {
  const [kind, second] = fields.keys();
  if (second !== undefined) throw fields.refusal(second, `not together with ${kind}`);
  switch (kind) {
    case 'portNumber': {
      const number = fields.object('portNumber')!;
      number.allowOnly('protocol', 'port');
      const port = number.need('port', number.integer('port', 1, MAX_PORT));
      return { protocol: readPortProtocol(number), port: { first: port, last: port } };
    }
    case 'portRange': {
      const range = fields.object('portRange')!;
      range.allowOnly('protocol', 'start', 'end');
      return { protocol: readPortProtocol(range), port: readRange(range) };
    }
    case 'namedPort':
      return readName(fields, 'namedPort');
    default:
      return { unsupported: kind === undefined ? fields.path : fields.pathOf(kind) };
  }
}

/** tcp, udp, sctp or destinationNamedPort. */
function readProtocol(fields: Fields): AdminPort {
  const [kind, second] = fields.keys();
  if (second !== undefined) throw fields.refusal(second, `not together with ${kind}`);
  switch (kind) {
    case 'tcp':
    case 'udp':
    case 'sctp': {
      const protocol = portProtocols[kind.toUpperCase() as keyof typeof portProtocols];
      const within = fields.object(kind)!;
      const [key, another] = within.keys();
      if (key === undefined) return { protocol };
      if (key !== 'destinationPort' || another !== undefined)
        return { unsupported: within.pathOf(another ?? key) };
      return { protocol, port: readDestinationPort(within.object('destinationPort')!) };
    }
    case 'destinationNamedPort':
      return readName(fields, kind);
    default:
      return { unsupported: kind === undefined ? fields.path : fields.pathOf(kind) };
  }
}

function readDestinationPort(fields: Fields): { first: number; last: number } {
  fields.allowOnly('number', 'range');
  fields.allowOneOf('number', 'range');
  const range = fields.object('range');
  if (range !== undefined) {
    range.allowOnly('start', 'end');
    return readRange(range);
  }
  const port = fields.need('number', fields.integer('number', 1, MAX_PORT));
  return { first: port, last: port };
}

function readRange(range: Fields): { first: number; last: number } {
  const first = range.need('start', range.integer('start', 1, MAX_PORT));
  const last = range.need('end', range.integer('end', 1, MAX_PORT));
  if (last <= first) throw range.refusal('end', `must be greater than start, ${first}`);
  return { first, last };
}

function readName(fields: Fields, key: string): AdminPort {
  const name = fields.string(key)!;
  if (!isPortName(name)) throw fields.refusal(key, 'must be the name of a port');
  return { name };
}
