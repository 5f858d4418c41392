import { linkFind, type Rtnl, randomMac } from '@amphipod/netlink';
import type { LeaseAttributes } from './lease.ts';
import type { NetworkConfig } from './network-config.ts';
import type { KernelView } from './sync-kernel.ts';
import { type Underlay, vxlanName } from './wanted-state.ts';
import { tunnelPort } from './wanted-tunnel.ts';
import type { WireguardKey } from './wireguard-key.ts';

/** What this node tells of itself in its lease. */
export function ownAttributes({
  config: { backend, ipv4, ipv6 },
  underlay,
  kernel,
  wireguardKey,
}: {
  config: NetworkConfig;
  underlay: Underlay;
  kernel: KernelView;
  /** Must be there for wireguard. */
  wireguardKey?: WireguardKey;
}): LeaseAttributes {
  const { ip, ipv6: ip6 } = underlay;
  const addresses = { ...(ip && { publicIp: ip }), ...(ip6 && { publicIpv6: ip6 }) };
  if (backend.type === 'host-gw') return { backendType: backend.type, ...addresses };
  if (backend.type === 'wireguard') {
    const { publicKey } = wireguardKey!;
    return {
      backendType: backend.type,
      ...addresses,
      ...(ipv4 && { publicKey, port: tunnelPort(backend, 4) }),
      ...(ipv6 && { ipv6PublicKey: publicKey, ipv6Port: tunnelPort(backend, 6) }),
    };
  }
  const { vni } = backend;
  return {
    backendType: backend.type,
    ...addresses,
    ...(ipv4 && { vtepMac: macOf(kernel.rtnl, vxlanName(vni, 4)) }),
    ...(ipv6 && { ipv6VtepMac: macOf(kernel.rtnl, vxlanName(vni, 6)) }),
    vni,
  };
}

/** That of the device which is there, so that no other node has to learn a new one; else one at random. */
function macOf(conn: Rtnl, name: string): string {
  const link = linkFind(conn, name);
  return link?.kind === 'vxlan' ? link.mac : randomMac();
}
