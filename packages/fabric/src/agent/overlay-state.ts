import { type Cidr, formatCidr, formatIp, type IpAddress } from '@amphipod/netlink';
import type { Lease } from '../overlay/lease.ts';
import type { BackendConfig, NetworkConfig } from '../overlay/network-config.ts';
import type { Overlay } from '../overlay/overlay-types.ts';
import type { Underlay, WantedState } from '../overlay/wanted-state.ts';
import { tunnelPort } from '../overlay/wanted-tunnel.ts';
import type { NodeState, OverlayState } from './agent-state.ts';

/** An overlay, and what it was started with. */
export interface RunningOverlay {
  overlay: Overlay;
  config: NetworkConfig;
  underlay: Underlay;
}

/** What the overlay has to say of itself. */
export function overlayState({ overlay, config, underlay }: RunningOverlay): OverlayState {
  const { lease, wanted, mtu, expires } = overlay;
  const { backend } = config;
  return {
    backend: backend.type,
    ...portsOf(backend),
    underlay: {
      interface: underlay.name,
      mtu: underlay.mtu,
      ...text('ip', underlay.ip, formatIp),
      ...text('ipv6', underlay.ipv6, formatIp),
    },
    ...subnets(lease),
    expires,
    mtu,
    devices: devicesOf(wanted),
    nodes: wanted.others().map(([id, other]) => nodeOf(wanted, id, other)),
  };
}

function portsOf(backend: BackendConfig): Pick<OverlayState, 'vni' | 'port' | 'ipv6Port'> {
  switch (backend.type) {
    case 'vxlan':
      return { vni: backend.vni, port: backend.port, ipv6Port: backend.port };
    case 'wireguard':
      return { port: tunnelPort(backend, 4), ipv6Port: tunnelPort(backend, 6) };
    case 'host-gw':
      return {};
  }
}

function devicesOf({ families, tunnels }: WantedState): OverlayState['devices'] {
  const wireguard = tunnels.map((tunnel) => ({
    name: tunnel.device.name,
    kind: 'wireguard',
    mtu: tunnel.device.mtu,
    addresses: tunnel.device.addresses.map(formatCidr),
    peers: tunnel.keys().size,
  }));
  const vxlan = families.flatMap(({ device, fdb }) =>
    device === undefined
      ? []
      : [
          {
            name: device.name,
            kind: 'vxlan',
            mtu: device.mtu,
            addresses: [formatCidr(device.address)],
            peers: fdb.size,
          },
        ],
  );
  return [...vxlan, ...wireguard];
}

function nodeOf(wanted: WantedState, id: string, lease: Lease): NodeState {
  const { publicIp, publicIpv6, backendType, vni, port, ipv6Port } = lease.attributes;
  const ways = wanted.families.map((family) => family.via(id));
  return {
    id,
    ...subnets(lease),
    ...text('publicIp', publicIp, formatIp),
    ...text('publicIpv6', publicIpv6, formatIp),
    backend: backendType,
    ...(vni !== undefined && { vni }),
    ...(port !== undefined && { port }),
    ...(ipv6Port !== undefined && { ipv6Port }),
    via: ways.find((way) => way !== 'none') ?? 'none',
    passedOver: wanted.whyNot(id),
  };
}

function subnets({ subnet, ipv6Subnet }: Lease) {
  return { ...text('subnet', subnet, formatCidr), ...text('ipv6Subnet', ipv6Subnet, formatCidr) };
}

/** `{ name: TEXT }`, or nothing. */
function text<Name extends string, Value extends Cidr | IpAddress>(
  name: Name,
  value: Value | undefined,
  format: (value: Value) => string,
): { [N in Name]?: string } {
  return (value === undefined ? {} : { [name]: format(value) }) as { [N in Name]?: string };
}
