import { type Cidr, formatCidr, formatIp, type IpAddress } from '@amphipod/netlink';
import { type Lease, leaseName } from '../overlay/lease.ts';
import type { Overlay } from '../overlay/overlay.ts';
import {
  type OverlayFacts,
  type PassedOver,
  type WantedState,
  wantedState,
} from '../overlay/wanted-state.ts';
import type { NodeState, OverlayState } from './agent-state.ts';

/** What the overlay has to say of itself; works the wanted state out once more. */
export function overlayState({
  facts,
  mtu,
  isReserved,
}: Pick<Overlay, 'facts' | 'mtu' | 'isReserved'>): OverlayState {
  const { underlay, own, config } = facts;
  const { backend } = config;
  const { state, passedOver } = wantedState(facts);
  return {
    backend: backend.type,
    ...(backend.type === 'vxlan' && { vni: backend.vni, port: backend.port, ipv6Port: backend.port }),
    underlay: {
      interface: underlay.name,
      mtu: underlay.mtu,
      ...text('ip', underlay.ip, formatIp),
      ...text('ipv6', underlay.ipv6, formatIp),
    },
    ...subnets(own),
    isReserved,
    mtu,
    devices: devicesOf(state),
    nodes: nodesOf(facts, state, passedOver),
  };
}

function devicesOf({ devices }: WantedState): OverlayState['devices'] {
  return devices.map(({ name, mtu, address, peers }) => ({
    name,
    kind: 'vxlan',
    mtu,
    address: [formatCidr(address)],
    peers: peers.length,
  }));
}

function nodesOf(
  { own, leases }: OverlayFacts,
  { routes, devices }: WantedState,
  passedOver: readonly PassedOver[],
): NodeState[] {
  const deviceNames = new Set(devices.map(({ name }) => name));
  const links = new Map(routes.map(({ dst, link }) => [formatCidr(dst), link]));
  const whys = new Map<Lease, string[]>();
  for (const { lease, why } of passedOver) whys.set(lease, [...(whys.get(lease) ?? []), why]);
  const ownName = leaseName(own);
  return leases
    .filter((lease) => leaseName(lease) !== ownName)
    .map((lease) => ({
      ...subnets(lease),
      ...text('publicIp', lease.attributes.publicIp, formatIp),
      ...text('publicIpv6', lease.attributes.publicIpv6, formatIp),
      backend: lease.attributes.backendType,
      ...(lease.attributes.vni !== undefined && { vni: lease.attributes.vni }),
      via: viaOf(lease, links, deviceNames),
      passedOver: whys.get(lease) ?? [],
    }));
}

function viaOf(
  { subnet, ipv6Subnet }: Lease,
  links: ReadonlyMap<string, string>,
  deviceNames: ReadonlySet<string>,
): NodeState['via'] {
  const link = [subnet, ipv6Subnet]
    .map((one) => (one === undefined ? undefined : links.get(formatCidr(one))))
    .find((one) => one !== undefined);
  if (link === undefined) return 'none';
  return deviceNames.has(link) ? 'device' : 'link';
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
