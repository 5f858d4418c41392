import type { ResultRoute } from '@amphipod/cni';
import { formatCidr, formatIp, tryParseCidr, tryParseIp } from '@amphipod/netlink';
import type { KeyReader } from './read-keys.ts';

const MAX_UINT32 = 2 ** 32 - 1;

/** The `routes` of an IPAM section. @throws CniError invalid-network-config */
export function readRoutes(ipam: KeyReader): ResultRoute[] {
  return (ipam.objects('routes') ?? []).map(readRoute);
}

function readRoute(route: KeyReader): ResultRoute {
  const dst = tryParseCidr(route.string('dst') ?? '') ?? route.fail('dst', 'a network such as "0.0.0.0/0"');
  const gwText = route.string('gw');
  const gw = gwText ? (tryParseIp(gwText) ?? route.fail('gw', 'an IP address')) : undefined;
  const read: ResultRoute = { dst: formatCidr(dst), ...(gw !== undefined && { gw: formatIp(gw) }) };
  for (const key of ['mtu', 'advmss', 'priority', 'table', 'scope'] as const) {
    const value = route.integer(key, 0, MAX_UINT32);
    // Of the first three 0 means "not set"; table and scope 0 exist.
    if (value !== undefined && (value !== 0 || key === 'table' || key === 'scope')) read[key] = value;
  }
  return read;
}
