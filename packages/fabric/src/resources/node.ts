import { asNumber, cidr, hardwareAddress, ipAddress, network } from './fields.ts';
import { type Resource, resource } from './metadata.ts';
import { placeOf, refusal } from './place.ts';
import { list, nullable, type ObjectOf, object, oneOf, optional, required, text } from './schema.ts';

const bgp = object({
  /** That of BGPConfiguration unless given. */
  asNumber: nullable(asNumber),
  /** The node's address with the prefix length of its network: `192.0.2.1/24`. */
  ipv4Address: optional(cidr(4)),
  ipv6Address: optional(cidr(6)),
  ipv4IPIPTunnelAddr: optional(ipAddress(4)),
  /** The node is a route reflector, of the cluster with this number in the form of an IPv4 address. */
  routeReflectorClusterID: optional(ipAddress(4)),
});

const fields = {
  bgp: nullable(bgp),
  ipv4VXLANTunnelAddr: optional(ipAddress(4)),
  vxlanTunnelMACAddr: optional(hardwareAddress),
  ipv6VXLANTunnelAddr: optional(ipAddress(6)),
  vxlanTunnelMACAddrV6: optional(hardwareAddress),
  /** What the node is called elsewhere, in Kubernetes for instance. */
  orchRefs: optional(list(object({ nodeName: optional(text()), orchestrator: required(text()) }))),
  wireguard: nullable(
    object({ interfaceIPv4Address: optional(ipAddress(4)), interfaceIPv6Address: optional(ipAddress(6)) }),
  ),
  addresses: optional(
    list(
      object({
        address: required(network()),
        type: optional(oneOf('CalicoNodeIP', 'InternalIP', 'ExternalIP')),
      }),
    ),
  ),
  interfaces: optional(list(object({ name: optional(text()), addresses: optional(list(text())) }))),
};

export type NodeSpec = ObjectOf<typeof fields>;
export type Node = Resource<'Node', NodeSpec>;

/** A node of the network. */
export const node = resource(
  'Node',
  object(fields, (spec, place) => {
    if (spec.bgp === undefined || Object.keys(spec.bgp).length > 0) return;
    throw refusal(placeOf(place, 'bgp'), spec.bgp, 'must not be empty: leave it out');
  }),
);
