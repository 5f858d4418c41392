import { CniError } from '@amphipod/cni';
import { type IpAddress, isMac, tryParseCidr, tryParseIp } from '@amphipod/netlink';
import type { CalicoConfig } from './config.ts';
import type { PodFacts } from './pod-facts.ts';

const PREFIX = 'cni.projectcalico.org/';

/** What a pod's annotations ask for. */
export interface PodWishes {
  /** Just these addresses, of pools. */
  readonly ips: readonly IpAddress[];
  /** Just these addresses, whatever they are of. */
  readonly ipsNoIpam: readonly IpAddress[];
  readonly ipv4Pools?: readonly string[];
  readonly ipv6Pools?: readonly string[];
  readonly families?: readonly (4 | 6)[];
  /** Addresses outside that lead to the pod. */
  readonly floatingIps: readonly IpAddress[];
  readonly mac?: string;
  /** Networks whose addresses the pod may send from. */
  readonly sourcePrefixes: readonly string[];
}

/**
 * Reads Calico's annotations.
 * @param facts what Kubernetes says of the pod; what it does not say counts from the runtime
 * @throws CniError invalid-network-config, naming annotation and value
 */
export function readAnnotations(
  { annotations: ofRuntime, features, ipamType }: CalicoConfig,
  facts: PodFacts | undefined,
): PodWishes {
  const annotations = { ...ofRuntime, ...facts?.annotations };
  const read = <T>(name: string, parse: (text: string, name: string) => T): T | undefined => {
    const text = annotations[`${PREFIX}${name}`];
    return text === undefined || text === '' ? undefined : parse(text, `${PREFIX}${name}`);
  };
  const ips = read('ipAddrs', readIps) ?? [];
  const ipsNoIpam = read('ipAddrsNoIpam', readIps) ?? [];
  const floatingIps = read('floatingIPs', readManyIps) ?? [];
  if (ips.length > 0 && ipsNoIpam.length > 0) fail('ipAddrsNoIpam', 'cannot be with ipAddrs');
  if (ips.length + ipsNoIpam.length > 0 && ipamType !== 'calico-ipam') {
    fail(ips.length > 0 ? 'ipAddrs' : 'ipAddrsNoIpam', `needs ipam.type "calico-ipam", not "${ipamType}"`);
  }
  if (ipsNoIpam.length > 0 && !features.ipAddrsNoIpam) {
    fail('ipAddrsNoIpam', 'needs feature_control.ip_addrs_no_ipam');
  }
  if (floatingIps.length > 0 && !features.floatingIps)
    fail('floatingIPs', 'needs feature_control.floating_ips');
  const ipv4Pools = read('ipv4pools', readList);
  const ipv6Pools = read('ipv6pools', readList);
  const families = read('ipFamilies', readFamilies);
  const mac = read('hwAddr', readMac);
  return {
    ips,
    ipsNoIpam,
    floatingIps,
    sourcePrefixes: read('allowedSourcePrefixes', readCidrs) ?? [],
    ...(ipv4Pools !== undefined && { ipv4Pools }),
    ...(ipv6Pools !== undefined && { ipv6Pools }),
    ...(families !== undefined && { families }),
    ...(mac !== undefined && { mac }),
  };
}

function fail(name: string, why: string): never {
  const full = name.startsWith(PREFIX) ? name : `${PREFIX}${name}`;
  throw new CniError('invalid-network-config', `annotation ${full}: ${why}`);
}

function readList(text: string, name: string): string[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const isList = Array.isArray(value) && value.every((item) => typeof item === 'string');
  return isList ? (value as string[]) : fail(name, `${JSON.stringify(text)}: want a JSON list of strings`);
}

function readManyIps(text: string, name: string): IpAddress[] {
  return readList(text, name).map(
    (item) => tryParseIp(item) ?? fail(name, `${JSON.stringify(item)}: not an IP address`),
  );
}

/** At most one of each family. */
function readIps(text: string, name: string): IpAddress[] {
  const ips = readManyIps(text, name);
  if (ips.length === 0) fail(name, 'the list is empty');
  if (new Set(ips.map(({ family }) => family)).size < ips.length)
    fail(name, `${text}: more than one address of a family`);
  return ips;
}

function readCidrs(text: string, name: string): string[] {
  const list = readList(text, name);
  const wrong = list.find((item) => tryParseCidr(item) === undefined);
  return wrong === undefined ? list : fail(name, `${JSON.stringify(wrong)}: not a network`);
}

function readFamilies(text: string, name: string): (4 | 6)[] {
  return readList(text, name).map((item) => {
    if (item === 'IPv4') return 4;
    if (item === 'IPv6') return 6;
    return fail(name, `${JSON.stringify(item)}: want "IPv4" or "IPv6"`);
  });
}

function readMac(text: string, name: string): string {
  return isMac(text) ? text.toLowerCase() : fail(name, `${JSON.stringify(text)}: not a hardware address`);
}
