import { CniError, type Result } from '@amphipod/cni';
import {
  type Cidr,
  cidrOf,
  formatCidr,
  type IpAddress,
  networkOf,
  parseCidr,
  parseIp,
  type RouteSpec,
} from '@amphipod/netlink';

/** An address of the pod and what answers for its gateway: the host's end of the pair. */
export interface PodAddress {
  address: Cidr;
  gateway: IpAddress;
}

/** @throws CniError when IPAM gave an address without a gateway */
export function podAddressesOf({ ips = [] }: Result): PodAddress[] {
  return ips.map(({ address, gateway }) => {
    if (gateway === undefined) {
      throw new CniError('internal', `IPAM plugin returned no gateway for ${address}, which ptp needs`);
    }
    return { address: parseCidr(address), gateway: parseIp(gateway) };
  });
}

/**
 * Routes of the pod in place of those to its networks: `GW dev IF scope link src IP` and `NET via GW src IP`. So everything
 * goes through the host, to neighbours of the same network too.
 */
export function podRoutes(addresses: readonly PodAddress[]): RouteSpec[] {
  const routes = addresses.flatMap(({ address, gateway }): RouteSpec[] => [
    { dst: cidrOf(gateway), scope: 'link', src: address.ip },
    { dst: networkOf(address), gateway, src: address.ip },
  ]);
  // Two addresses may share gateway and network, and to a network of one address there is no way but itself.
  const own = addresses.map(({ address }) => formatCidr(cidrOf(address.ip)));
  const seen = new Set(own);
  return routes.filter(({ dst }) => {
    const text = formatCidr(dst!);
    return !seen.has(text) && seen.add(text);
  });
}

/** The gateways, each once. */
export function gatewaysOf(addresses: readonly PodAddress[]): Cidr[] {
  const gateways = addresses.map(({ gateway }) => cidrOf(gateway));
  return [...new Map(gateways.map((gateway) => [formatCidr(gateway), gateway])).values()];
}

/** `IP dev VETH scope host`: the host's way to the pod. */
export function hostRoute({ address }: PodAddress): RouteSpec {
  return { dst: cidrOf(address.ip), scope: 'host' };
}
