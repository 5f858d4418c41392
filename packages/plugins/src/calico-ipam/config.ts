import { CniError, type PluginRequest } from '@amphipod/cni';
import { type IpAddress, tryParseCidr, tryParseIp } from '@amphipod/netlink';
import { readCalicoArgs } from '../calico/workload.ts';
import { requireIpam } from '../lib/ipam.ts';
import { type KeyReader, keyFinder, readKeys } from '../lib/read-keys.ts';

/** Which addresses an attachment gets. */
export interface CalicoIpamConfig {
  readonly hasIpv4: boolean;
  readonly hasIpv6: boolean;
  /** Names or networks of pools; any that selects node and namespace when there is none. */
  readonly ipv4Pools: readonly string[];
  readonly ipv6Pools: readonly string[];
  /** Just these. */
  readonly requested: readonly IpAddress[];
  readonly namespaceLabels: Readonly<Record<string, string>>;
}

/** Reads the section `ipam` and what the runtime asks for. @throws CniError invalid-network-config */
export function readConfig({ config, args }: Pick<PluginRequest, 'config' | 'args'>): CalicoIpamConfig {
  const ipam = requireIpam({ config });
  const find = keyFinder(config.ipam!);
  const hasIpv4 = readFlag(ipam, find('assign_ipv4'), { key: 'assign_ipv4', usual: true });
  const hasIpv6 = readFlag(ipam, find('assign_ipv6'), { key: 'assign_ipv6', usual: false });
  if (!hasIpv4 && !hasIpv6)
    ipam.refuse('assign_ipv4', 'assign_ipv4 and assign_ipv6: no address family is left');
  return {
    hasIpv4,
    hasIpv6,
    ipv4Pools: ipam.strings('ipv4_pools') ?? [],
    ipv6Pools: ipam.strings('ipv6_pools') ?? [],
    requested: readRequested({ config, args }),
    namespaceLabels: Object.fromEntries(ipam.stringMembers('namespaceLabels') ?? []),
  };
}

/** Calico writes `"true"`; who writes true means the same. */
function readFlag(ipam: KeyReader, value: unknown, { key, usual }: { key: string; usual: boolean }): boolean {
  if (value === undefined || value === null || value === '') return usual;
  if (value === true || value === 'true') return true;
  if (value === false || value === 'false') return false;
  return ipam.fail(key, '"true" or "false"');
}

/** CNI_ARGS `IP=`, `args.cni.ips`, `runtimeConfig.ips`: one address of each family. */
function readRequested({ config, args }: Pick<PluginRequest, 'config' | 'args'>): IpAddress[] {
  const keys = readKeys(config);
  const fromArgs = (readCalicoArgs(args).IP || undefined)?.split(',');
  const texts = [
    ...(fromArgs ?? []),
    ...(keys.object('args')?.object('cni')?.strings('ips') ?? []),
    ...(keys.object('runtimeConfig')?.strings('ips') ?? []),
  ];
  const ips = texts.map((text) => {
    const ip = tryParseIp(text) ?? tryParseCidr(text)?.ip;
    if (ip !== undefined) return ip;
    throw new CniError(
      'invalid-network-config',
      `requested address ${JSON.stringify(text)}: not an IP address`,
    );
  });
  return [...new Map(ips.map((ip) => [`${ip.family} ${ip.value}`, ip])).values()];
}
