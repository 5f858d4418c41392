import { contains, type IpAddress } from '@amphipod/netlink';
import type { NetworkPolicyPeer, NetworkPolicyResource, NetworkPolicyRule } from '../documents/resources.ts';
import { matchesDestinationPort, type Question, selects, type World } from './world.ts';

/** networking.k8s.io/v1: some peer and some port must match. */
export function matchesNetworkPolicyRule(
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
