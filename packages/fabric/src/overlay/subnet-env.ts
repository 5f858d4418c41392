import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { isCode, replaceFile } from '@amphipod/linux';
import { type Cidr, formatCidr, type IpFamily, networkOf, nextIp, tryParseCidr } from '@amphipod/netlink';
import { FabricError } from '../errors.ts';

/** One family in subnet.env. */
export interface SubnetEnvFamily {
  /** The pods' network on all nodes. */
  network: Cidr;
  /** The part of this node. */
  subnet: Cidr;
}

/** What the agent tells the plugin `flannel` on its node. */
export interface SubnetEnv {
  ipv4?: SubnetEnvFamily;
  ipv6?: SubnetEnvFamily;
  mtu: number;
  /** The agent masquerades what leaves the pods' network. */
  ipMasq: boolean;
}

/** The file's text, byte for byte as flannel writes it; the subnets with their first usable address. */
export function formatSubnetEnv({ ipv4, ipv6, mtu, ipMasq }: SubnetEnv): string {
  const lines = [...familyLines('FLANNEL_', ipv4), ...familyLines('FLANNEL_IPV6_', ipv6)];
  return `${[...lines, `FLANNEL_MTU=${mtu}`, `FLANNEL_IPMASQ=${ipMasq}`].join('\n')}\n`;
}

function familyLines(prefix: string, family: SubnetEnvFamily | undefined): string[] {
  if (family === undefined) return [];
  const { ip, prefix: length } = networkOf(family.subnet);
  const gateway = formatCidr({ ip: nextIp(ip)!, prefix: length });
  return [`${prefix}NETWORK=${formatCidr(family.network)}`, `${prefix}SUBNET=${gateway}`];
}

/** Writes the file (0644) so that nobody ever reads half of it. */
export function writeSubnetEnv(file: string, env: SubnetEnv): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
  replaceFile(file, formatSubnetEnv(env), { durable: true });
}

/**
 * Reads the file.
 * @returns undefined when there is none
 * @throws FabricError `invalid-config` for a file that lacks something or has something wrong, naming key and value
 */
export function readSubnetEnv(file: string): SubnetEnv | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
  return parseSubnetEnv(text, file);
}

/** {@link readSubnetEnv} for a text. @param file for errors */
export function parseSubnetEnv(text: string, file: string): SubnetEnv {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, key, value] = /^\s*([A-Z0-9_]+)=(.*?)\s*$/.exec(line) ?? [];
    if (key !== undefined) values.set(key, value!);
  }
  const wrong = (key: string, why: string) =>
    new FabricError(
      'invalid-config',
      `read subnet file ${JSON.stringify(file)}: ${key}${values.has(key) ? ` "${values.get(key)}"` : ''}: ${why}`,
    );
  const cidr = (key: string, family: IpFamily): Cidr | undefined => {
    const value = values.get(key);
    if (value === undefined) return undefined;
    const parsed = tryParseCidr(value);
    if (parsed?.ip.family !== family) throw wrong(key, `not an IPv${family} address with a prefix length`);
    return parsed;
  };
  const family = (prefix: string, number: IpFamily): SubnetEnvFamily | undefined => {
    const [network, subnet] = [cidr(`${prefix}NETWORK`, number), cidr(`${prefix}SUBNET`, number)];
    if (network === undefined && subnet === undefined) return undefined;
    if (network === undefined) throw wrong(`${prefix}NETWORK`, 'missing');
    if (subnet === undefined) throw wrong(`${prefix}SUBNET`, 'missing');
    return { network: networkOf(network), subnet: networkOf(subnet) };
  };
  const [ipv4, ipv6] = [family('FLANNEL_', 4), family('FLANNEL_IPV6_', 6)];
  if (ipv4 === undefined && ipv6 === undefined) throw wrong('FLANNEL_SUBNET', 'missing');
  const mtu = values.get('FLANNEL_MTU');
  if (mtu === undefined || !/^[1-9][0-9]{1,5}$/.test(mtu))
    throw wrong('FLANNEL_MTU', mtu === undefined ? 'missing' : 'not an MTU');
  const ipMasq = values.get('FLANNEL_IPMASQ');
  if (ipMasq !== 'true' && ipMasq !== 'false') {
    throw wrong('FLANNEL_IPMASQ', ipMasq === undefined ? 'missing' : 'not true or false');
  }
  return { ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }), mtu: Number(mtu), ipMasq: ipMasq === 'true' };
}
