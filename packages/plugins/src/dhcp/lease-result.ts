import type { Result, ResultRoute } from '@amphipod/cni';
import { formatIp, type IpAddress, ipFromBytes, RT_SCOPE } from '@amphipod/netlink';
import { type DhcpOptions, OPTION, readAddresses } from './message.ts';

/** What a server gave. */
export interface Granted {
  ip: IpAddress;
  options: DhcpOptions;
}

/**
 * A lease as the result of an ADD. As the reference has it: classless routes (option 121) in the place of the router and the
 * static routes; DNS only where a configuration asks for it.
 * @throws Error without a subnet mask
 */
export function leaseResult(
  { ip, options }: Granted,
  { request, priority }: { request: readonly number[]; priority: number },
): Result {
  const mask = options.get(OPTION.subnetMask);
  if (mask?.length !== 4) throw new Error('DHCP option Subnet Mask not found in DHCPACK');
  const [gateway] = readAddresses(options, OPTION.router);
  const routes = readRoutes(options, gateway);
  const dns = request.includes(OPTION.dns) ? readDns(options) : {};
  return {
    ips: [{ address: `${formatIp(ip)}/${prefixOf(mask)}`, ...(gateway !== undefined && { gateway }) }],
    ...(routes.length > 0 && {
      routes: routes.map((route) => (priority === 0 ? route : { ...route, priority })),
    }),
    ...(Object.keys(dns).length > 0 && { dns }),
  };
}

function prefixOf(mask: Buffer): number {
  return mask.readUInt32BE(0).toString(2).replaceAll('0', '').length;
}

function readRoutes(options: DhcpOptions, gateway: string | undefined): ResultRoute[] {
  const classless = readClasslessRoutes(options.get(OPTION.classlessRoutes) ?? Buffer.alloc(0));
  if (classless.length > 0) return classless;
  const pairs = readAddresses(options, OPTION.staticRoutes);
  const routes: ResultRoute[] = [];
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    routes.push({ dst: `${pairs[i]}/${classfulPrefix(pairs[i]!)}`, gw: pairs[i + 1]! });
  }
  return gateway === undefined ? routes : [...routes, { dst: '0.0.0.0/0', gw: gateway }];
}

/** RFC 3442: prefix length, as many bytes of the network as that needs, router. A damaged option counts as none. */
function readClasslessRoutes(value: Buffer): ResultRoute[] {
  const routes: ResultRoute[] = [];
  for (let at = 0; at < value.length; ) {
    const prefix = value[at]!;
    const octets = Math.ceil(prefix / 8);
    if (prefix > 32 || at + 1 + octets + 4 > value.length) return [];
    const network = Buffer.alloc(4);
    value.copy(network, 0, at + 1, at + 1 + octets);
    const gw = formatIp(ipFromBytes(value.subarray(at + 1 + octets, at + 5 + octets)));
    const dst = `${formatIp(ipFromBytes(network))}/${prefix}`;
    // Without a router it is on the link.
    routes.push({ dst, gw, ...(gw === '0.0.0.0' && { scope: RT_SCOPE.link }) });
    at += 5 + octets;
  }
  return routes;
}

/** Networks of class A, B and C: option 33 is older than masks. */
function classfulPrefix(network: string): number {
  const first = Number(network.split('.')[0]);
  return first < 128 ? 8 : first < 192 ? 16 : 24;
}

function readDns(options: DhcpOptions): NonNullable<Result['dns']> {
  const nameservers = readAddresses(options, OPTION.dns);
  const domain = options.get(OPTION.domain)?.toString().replace(/\0+$/, '') ?? '';
  return { ...(nameservers.length > 0 && { nameservers }), ...(domain !== '' && { domain }) };
}
