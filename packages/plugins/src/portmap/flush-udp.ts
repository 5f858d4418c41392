import { conntrackFlush, type Nft } from '@amphipod/netlink';
import { appliesTo, type PortMapping, protocolNumbers } from './config.ts';
import { isAny } from './entries.ts';

/** Ends UDP flows to the host ports: conntrack would lead them to where they went before the change. */
export function flushUdp(conn: Nft, mappings: readonly PortMapping[]): void {
  for (const mapping of mappings) {
    if (mapping.protocol !== 'udp') continue;
    for (const family of [4, 6] as const) {
      if (!appliesTo(mapping, family)) continue;
      const { hostIp, hostPort } = mapping;
      conntrackFlush(conn, {
        family,
        protocol: protocolNumbers.udp,
        dstPort: hostPort,
        ...(!isAny(hostIp) && { dst: hostIp }),
      });
    }
  }
}
