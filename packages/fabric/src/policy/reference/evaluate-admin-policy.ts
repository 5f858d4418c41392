import { contains, type IpAddress } from '@amphipod/netlink';
import type { AdminPeer, AdminRule } from '../documents/resources.ts';
import { matchesDestinationPort, type Question, selectsPod, type World } from './world.ts';

/** AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy; undefined when the rule does not match. */
export function adminAction(
  world: World,
  rule: AdminRule,
  { direction, probe }: Question,
): AdminRule['action'] | undefined {
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
