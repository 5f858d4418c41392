import {
  CniError,
  type Dns,
  type NetConf,
  type PluginRequest,
  parseArgs,
  type ResultRoute,
} from '@amphipod/cni';
import { type Cidr, contains, type IpAddress, tryParseCidr, tryParseIp } from '@amphipod/netlink';
import { requireIpam } from '../lib/ipam.ts';
import { type KeyReader, readKeys } from '../lib/read-keys.ts';
import { readRoutes } from '../lib/read-routes.ts';
import { refuseManyAddresses } from '../lib/refuse-many-addresses.ts';

export interface StaticAddress {
  address: Cidr;
  gateway?: IpAddress;
}

export interface StaticConfig {
  addresses: StaticAddress[];
  routes: ResultRoute[];
  dns: Dns;
}

/** Reads the `ipam` section and what the runtime asks for. @throws CniError with the reference's words */
export function readConfig({ config, args }: Pick<PluginRequest, 'config' | 'args'>): StaticConfig {
  const ipam = requireIpam({ config });
  // The reference checks every source, also those that another one replaces.
  const configured = withArgs((ipam.objects('addresses') ?? []).map(readAddress), args);
  const addresses = askedFor(config) ?? configured;
  refuseManyAddresses(
    addresses.map(({ address }) => address.ip.family),
    config.cniVersion,
  );
  return { addresses, routes: readRoutes(ipam), dns: readDns(ipam.object('dns')) };
}

function readAddress(reader: KeyReader): StaticAddress {
  const address = parseAddress(reader.string('address') ?? '', "the 'address' field is expected to be in");
  const text = reader.string('gateway');
  const gateway = text ? (tryParseIp(text) ?? reader.fail('gateway', 'an IP address')) : undefined;
  return { address, ...(gateway !== undefined && { gateway }) };
}

/** CNI_ARGS `IP=` adds addresses; `GATEWAY=` is for those of them in whose network it is, not for configured ones. */
function withArgs(configured: readonly StaticAddress[], args: string): StaticAddress[] {
  const { IP = '', GATEWAY = '' } = parseArgs(args, ['IP', 'GATEWAY']);
  const given = splitList(IP).map(
    (text): StaticAddress => ({
      address: parseAddress(text, "the 'ip' field is expected to be in", 'invalid-environment'),
    }),
  );
  for (const text of splitList(GATEWAY)) {
    const gateway = tryParseIp(text);
    if (gateway === undefined) {
      throw new CniError('invalid-environment', `invalid gateway address: ${text}`);
    }
    for (const one of given) if (contains(one.address, gateway)) one.gateway = gateway;
  }
  return [...configured, ...given];
}

function splitList(text: string): string[] {
  return text === '' ? [] : text.split(',').map((item) => item.trim());
}

/** `runtimeConfig.ips`, else `args.cni.ips`, in the place of the configured ones. */
function askedFor(config: NetConf): StaticAddress[] | undefined {
  const keys = readKeys(config);
  const sources = [keys.object('runtimeConfig'), keys.object('args')?.object('cni')];
  const lists = sources.map((source) =>
    (source?.strings('ips') ?? []).map((text) => ({
      address: parseAddress(text, "an entry in the 'ips' field is NOT in"),
    })),
  );
  return lists.find((list) => list.length > 0);
}

function parseAddress(
  text: string,
  complaint: string,
  code: 'invalid-network-config' | 'invalid-environment' = 'invalid-network-config',
): Cidr {
  const address = tryParseCidr(text);
  if (address === undefined) throw new CniError(code, `${complaint} CIDR notation, got: '${text}'`);
  return address;
}

function readDns(reader: KeyReader | undefined): Dns {
  const dns: Dns = {};
  for (const key of ['nameservers', 'search', 'options'] as const) {
    const list = reader?.strings(key) ?? [];
    if (list.length > 0) dns[key] = list;
  }
  const domain = reader?.string('domain');
  if (domain) dns.domain = domain;
  return dns;
}
