import { contains, type IpAddress } from '@amphipod/netlink';
import { matchesSelector } from '../../selector/selector.ts';
import type {
  CalicoEntity,
  CalicoPolicyResource,
  CalicoRule,
  NetworkSetResource,
  PodResource,
  PortMatch,
} from '../documents/resources.ts';
import { holds, type Probe, type Question, type World } from './world.ts';

/** projectcalico.org/v3; undefined when the rule does not match or only logs. */
export function calicoAction(
  world: World,
  { policy, rule }: { policy: CalicoPolicyResource; rule: CalicoRule },
  { probe }: Question,
): 'allow' | 'deny' | 'pass' | undefined {
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
