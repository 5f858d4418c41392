import {
  type Cidr,
  contains,
  type IpAddress,
  type IpFamily,
  parseCidr,
  type WireguardEndpoint,
  type WireguardPeerSpec,
} from '@amphipod/netlink';
import type { LeaseAttributes } from './lease.ts';
import type { WireguardConfig } from './network-config.ts';
import type { WantedFamily } from './wanted-family.ts';
import type { Underlay } from './wanted-state.ts';
import type { WireguardKey } from './wireguard-key.ts';

/** Outer headers of WireGuard over IPv6, which flannel takes off in any case: IP 40, UDP 8, WireGuard 32. */
export const tunnelOverhead = 80;

/** Another node behind a WireGuard device, as one family sees it. */
export interface TunnelPeer {
  readonly publicKey: string;
  readonly endpoint: WireguardEndpoint;
  readonly allowedIp: Cidr;
}

/** A WireGuard device of ours: one for each family, or one for both. */
export interface WantedTunnelDevice extends WireguardKey {
  readonly name: string;
  /** UDP */
  readonly listenPort: number;
  readonly mtu: number;
  readonly addresses: readonly Cidr[];
  readonly presharedKey?: string;
  /** 0: none. */
  readonly keepaliveSeconds: number;
}

/** Name of the WireGuard device, as flannel has it. */
export function tunnelName({ mode }: WireguardConfig, family: IpFamily): string {
  return mode === 'separate' && family === 6 ? 'flannel-wg-v6' : 'flannel-wg';
}

/** The port on which a family's packets arrive at a node that has this configuration. */
export function tunnelPort({ mode, listenPort, listenPortV6 }: WireguardConfig, family: IpFamily): number {
  return mode === 'separate' && family === 6 ? listenPortV6 : listenPort;
}

/** A WireGuard device with the nodes behind it, as the families want them that go through it. */
export class WantedTunnel {
  readonly device: WantedTunnelDevice;
  readonly families: readonly WantedFamily[];

  constructor(device: WantedTunnelDevice, families: readonly WantedFamily[]) {
    this.device = device;
    this.families = families;
  }

  /** A node's peer, with its subnets of all families; undefined when no family wants it. */
  peer(publicKey: string): WireguardPeerSpec | undefined {
    const parts = this.families.flatMap((family) => family.tunnelPeers.get(publicKey) ?? []);
    const [first] = parts;
    if (first === undefined) return undefined;
    const { presharedKey, keepaliveSeconds } = this.device;
    return {
      publicKey,
      endpoint: first.endpoint,
      keepaliveSeconds,
      ...(presharedKey !== undefined && { presharedKey }),
      allowedIps: parts.map(({ allowedIp }) => allowedIp),
    };
  }

  /** The public keys of all nodes. */
  keys(): Set<string> {
    const peers = this.families.flatMap(({ tunnelPeers }) => [...tunnelPeers.values()]);
    return new Set(peers.map(({ publicKey }) => publicKey));
  }

  /** The public keys whose peers have changed since the last call. */
  takeChanges(): Set<string> {
    return new Set(this.families.flatMap(({ tunnelPeers }) => [...tunnelPeers.takeChanges().keys()]));
  }
}

/** Where a node's packets of a family go to; undefined when it does not tell such an address. */
export function endpointOf(
  attributes: LeaseAttributes,
  config: WireguardConfig,
  { family, underlay }: { family: IpFamily; underlay: Underlay },
): WireguardEndpoint | undefined {
  const { publicIp, publicIpv6 } = attributes;
  const byMode = {
    separate: family === 4 ? publicIp : publicIpv6,
    ipv4: publicIp,
    ipv6: publicIpv6,
    auto: likelyAddress(attributes, underlay),
  };
  const ip = byMode[config.mode];
  // In a tunnel for both families flannel tells of a port for IPv6 on which it does not listen.
  const told = config.mode === 'separate' && family === 6 ? attributes.ipv6Port : attributes.port;
  return ip && { ip, port: told ?? tunnelPort(config, family) };
}

/** As flannel chooses: a public IPv4 address, else a public IPv6 address if we have one too, else IPv4. */
function likelyAddress(
  { publicIp: ip, publicIpv6: ipv6 }: LeaseAttributes,
  underlay: Underlay,
): IpAddress | undefined {
  if (ip === undefined || ipv6 === undefined) return ip ?? ipv6;
  if (!isPrivate(ip) && underlay.ip !== undefined) return ip;
  const hasPublicIpv6 = underlay.ipv6 !== undefined && !isPrivate(underlay.ipv6);
  return !isPrivate(ipv6) && hasPublicIpv6 ? ipv6 : ip;
}

// RFC 1918, RFC 4193
const privateNetworks = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'].map(parseCidr);

function isPrivate(ip: IpAddress): boolean {
  return privateNetworks.some((network) => contains(network, ip));
}
