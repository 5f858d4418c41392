import {
  CniError,
  type NetConf,
  type PluginRequest,
  parseArgs,
  type ResultRoute,
  toCniError,
} from '@amphipod/cni';
import { type IpAddress, tryParseCidr, tryParseIp } from '@amphipod/netlink';
import { requireIpam } from '../lib/ipam.ts';
import { type KeyReader, readKeys } from '../lib/read-keys.ts';
import { readRoutes } from '../lib/read-routes.ts';
import { refuseManyAddresses } from '../lib/refuse-many-addresses.ts';
import {
  checkRangeSet,
  completeRange,
  familyOf,
  formatRangeSet,
  type IpRange,
  type RangeSet,
  setsOverlap,
} from './range.ts';

export interface HostLocalConfig {
  network: string;
  /** An attachment gets one address of each. */
  rangeSets: RangeSet[];
  routes: ResultRoute[];
  dataDir: string;
  resolvConf: string | undefined;
  /** Addresses that this attachment asks for. */
  requested: IpAddress[];
}

const DEFAULT_DATA_DIR = '/var/lib/cni/networks';

/** Reads the `ipam` section and what the runtime asks for. @throws CniError invalid-network-config */
export function readConfig({ config, args }: Pick<PluginRequest, 'config' | 'args'>): HostLocalConfig {
  const ipam = requireIpam({ config });
  const runtimeConfig = readKeys(config).object('runtimeConfig');
  const rangeSets = [
    ...readRangeSets(runtimeConfig, 'ipRanges'),
    ...oldStyleRange(ipam),
    ...readRangeSets(ipam, 'ranges'),
  ];
  checkRangeSets(rangeSets, config.cniVersion);
  return {
    network: config.name,
    rangeSets,
    routes: readRoutes(ipam),
    dataDir: ipam.string('dataDir') || DEFAULT_DATA_DIR,
    resolvConf: ipam.string('resolvConf') || undefined,
    requested: readRequested(config, args, runtimeConfig),
  };
}

/** Where the reservations are; all that DEL needs. @throws CniError invalid-network-config */
export function readDataDir(config: NetConf): string {
  return requireIpam({ config }).string('dataDir') || DEFAULT_DATA_DIR;
}

function oldStyleRange(ipam: KeyReader): RangeSet[] {
  return ipam.string('subnet') ? [[readRange(ipam)]] : [];
}

function readRangeSets(reader: KeyReader | undefined, key: string): RangeSet[] {
  return reader?.objectLists(key, 'ranges')?.map((set) => set.map(readRange)) ?? [];
}

function readRange(reader: KeyReader): IpRange {
  const subnetText = reader.string('subnet');
  if (subnetText === undefined) return reader.fail('subnet', 'a network such as "10.1.2.0/24"');
  const subnet = tryParseCidr(subnetText) ?? reader.fail('subnet', 'a network such as "10.1.2.0/24"');
  const address = (key: string): IpAddress | undefined => {
    const text = reader.string(key);
    return text ? (tryParseIp(text) ?? reader.fail(key, 'an IP address')) : undefined;
  };
  const start = address('rangeStart');
  const end = address('rangeEnd');
  const gateway = address('gateway');
  try {
    return completeRange({
      subnet,
      ...(start !== undefined && { start }),
      ...(end !== undefined && { end }),
      ...(gateway !== undefined && { gateway }),
    });
  } catch (error) {
    const { key = 'subnet', msg } = toCniError(error);
    return reader.refuse(key, msg);
  }
}

function checkRangeSets(sets: readonly RangeSet[], cniVersion: string): void {
  if (sets.length === 0) throw new CniError('invalid-network-config', 'no IP ranges specified');
  for (const [i, set] of sets.entries()) {
    try {
      checkRangeSet(set);
    } catch (error) {
      throw new CniError('invalid-network-config', `invalid range set ${i}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }
  refuseManyAddresses(sets.map(familyOf), cniVersion);
  for (const [i, set] of sets.entries()) {
    const j = sets.findIndex((other, at) => at > i && setsOverlap(set, other));
    if (j >= 0) {
      throw new CniError('invalid-network-config', `range set ${i} overlaps with ${j}`, {
        details: `${formatRangeSet(set)} and ${formatRangeSet(sets[j]!)}`,
      });
    }
  }
}

/** Later sources add to earlier ones: CNI_ARGS `IP=`, `args.cni.ips`, `runtimeConfig.ips`. */
function readRequested(config: NetConf, args: string, runtimeConfig: KeyReader | undefined): IpAddress[] {
  const fromArgs = (parseArgs(args, ['IP']).IP || undefined)?.split(',') ?? [];
  const cniArgs = readKeys(config).object('args')?.object('cni');
  const texts = [...fromArgs, ...(cniArgs?.strings('ips') ?? []), ...(runtimeConfig?.strings('ips') ?? [])];
  const seen = new Map<string, IpAddress>();
  for (const text of texts) {
    const ip = tryParseIp(text) ?? tryParseCidr(text)?.ip;
    if (ip === undefined)
      throw new CniError(
        'invalid-network-config',
        `requested address ${JSON.stringify(text)}: not an IP address`,
      );
    seen.set(`${ip.family} ${ip.value}`, ip);
  }
  return [...seen.values()];
}
