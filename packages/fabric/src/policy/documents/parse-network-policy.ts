import { contains, formatCidr } from '@amphipod/netlink';
import type { Fields } from './fields.ts';
import { readLabelSelector } from './read-label-selector.ts';
import { MAX_PORT, readCidr, readCidrs, readPort, readPortProtocol } from './read-values.ts';
import type {
  Direction,
  NetworkPolicyPeer,
  NetworkPolicyResource,
  NetworkPolicyRule,
  ResourceOrigin,
} from './resources.ts';

/** Reads a NetworkPolicy of networking.k8s.io/v1. @throws FabricError `invalid-config` */
export function parseNetworkPolicy(document: Fields, origin: ResourceOrigin): NetworkPolicyResource {
  const spec = document.need('spec', document.object('spec'));
  spec.allowOnly('podSelector', 'policyTypes', 'ingress', 'egress');
  const ingress = spec.list('ingress')?.map((rule) => readRule(rule, 'from')) ?? [];
  const egress = spec.list('egress')?.map((rule) => readRule(rule, 'to')) ?? [];
  return {
    type: 'network-policy',
    origin,
    podSelector: readLabelSelector(spec, 'podSelector') ?? { matchLabels: {}, matchExpressions: [] },
    directions: readDirections(spec, egress.length > 0),
    ingress,
    egress,
  };
}

/** What the API server would have put in when there are no policyTypes: ingress always, egress when it has rules. */
function readDirections(spec: Fields, hasEgressRules: boolean): Direction[] {
  const types = spec.strings('policyTypes') ?? [];
  for (const type of types) {
    if (type !== 'Ingress' && type !== 'Egress') {
      throw spec.refusal('policyTypes', `${JSON.stringify(type)} must be Ingress or Egress`);
    }
  }
  if (types.length === 0) return hasEgressRules ? ['ingress', 'egress'] : ['ingress'];
  return (['ingress', 'egress'] as const).filter((direction) =>
    types.some((type) => type.toLowerCase() === direction),
  );
}

function readRule(rule: Fields, peersKey: 'from' | 'to'): NetworkPolicyRule {
  rule.allowOnly(peersKey, 'ports');
  return {
    path: rule.path,
    peers: rule.list(peersKey)?.map(readPeer) ?? [],
    ports: rule.list('ports')?.map(readPorts) ?? [],
  };
}

function readPeer(peer: Fields): NetworkPolicyPeer {
  peer.allowOnly('ipBlock', 'podSelector', 'namespaceSelector');
  peer.allowOneOf('ipBlock', 'podSelector');
  peer.allowOneOf('ipBlock', 'namespaceSelector');
  const block = peer.object('ipBlock');
  if (block !== undefined) {
    block.allowOnly('cidr', 'except');
    const cidr = block.need('cidr', readCidr(block, 'cidr'));
    const except = readCidrs(block, 'except') ?? [];
    const outside = except.find((inner) => !contains(cidr, inner) || inner.prefix === cidr.prefix);
    if (outside !== undefined) {
      throw block.refusal('except', `${formatCidr(outside)} must lie within ${formatCidr(cidr)}`);
    }
    return { ipBlock: { cidr, except } };
  }
  const podSelector = readLabelSelector(peer, 'podSelector');
  const namespaceSelector = readLabelSelector(peer, 'namespaceSelector');
  if (podSelector === undefined && namespaceSelector === undefined) {
    throw peer.refusal('podSelector', 'one of ipBlock, podSelector and namespaceSelector must be given');
  }
  return { ...(podSelector && { podSelector }), ...(namespaceSelector && { namespaceSelector }) };
}

function readPorts(fields: Fields): NetworkPolicyRule['ports'][number] {
  fields.allowOnly('protocol', 'port', 'endPort');
  const protocol = readPortProtocol(fields);
  const port = readPort(fields, 'port');
  const endPort = fields.integer('endPort', 1, MAX_PORT);
  if (endPort === undefined) return port === undefined ? { protocol } : { protocol, port };
  if (port === undefined || 'name' in port) throw fields.refusal('endPort', 'needs a port with a number');
  if (endPort < port.first) throw fields.refusal('endPort', `must be at least the port, ${port.first}`);
  return { protocol, port: { first: port.first, last: endPort } };
}
