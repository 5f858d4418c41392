import {
  broadcastOf,
  type Cidr,
  cidrOf,
  compareIp,
  contains,
  type IpAddress,
  type IpFamily,
  ipBits,
  ipPlus,
  isWireguardKey,
  networkOf,
  tryParseCidr,
  tryParseIp,
} from '@amphipod/netlink';
import { type ConfigObject, parseConfigObject } from './config-object.ts';

const MAX_VNI = 2 ** 24 - 1;
const MAX_PORT = 65_535;

/** The pod network of one address family, and how nodes get their parts of it. */
export interface FamilyNetwork {
  readonly network: Cidr;
  /** Prefix length of a node's subnet. */
  readonly subnetPrefix: number;
  /** The first and the last subnet that a node can get. */
  readonly first: IpAddress;
  readonly last: IpAddress;
}

export interface VxlanConfig {
  readonly type: 'vxlan';
  readonly vni: number;
  /** UDP; 0 is the kernel's own choice, 8472. */
  readonly port: number;
  /** 0: worked out from the link below. */
  readonly mtu: number;
  readonly gbp: boolean;
  /** No VXLAN to nodes that are on our own link. */
  readonly directRouting: boolean;
}

export interface HostGwConfig {
  readonly type: 'host-gw';
}

export interface WireguardConfig {
  readonly type: 'wireguard';
  /** In base64. */
  readonly psk?: string;
  /** UDP; `listenPortV6` for the IPv6 tunnel of mode `separate`. */
  readonly listenPort: number;
  readonly listenPortV6: number;
  /** 0: worked out from the link below. */
  readonly mtu: number;
  /** A tunnel for each family, or one for both: over IPv4, over IPv6, or what is likely to work. */
  readonly mode: (typeof wireguardModes)[number];
  /** 0: none. */
  readonly keepaliveSeconds: number;
}

export const wireguardModes = ['separate', 'auto', 'ipv4', 'ipv6'] as const;

export type BackendConfig = VxlanConfig | HostGwConfig | WireguardConfig;

/** What all nodes of an overlay agree on. At least one of the families is there. */
export interface NetworkConfig {
  readonly ipv4?: FamilyNetwork;
  readonly ipv6?: FamilyNetwork;
  readonly backend: BackendConfig;
}

/** How keys and limits are called in each family. */
interface FamilyRules {
  family: IpFamily;
  network: string;
  length: string;
  min: string;
  max: string;
  /** The usual prefix length of a subnet. */
  usual: number;
}

const ipv4Rules: FamilyRules = {
  family: 4,
  network: 'Network',
  length: 'SubnetLen',
  min: 'SubnetMin',
  max: 'SubnetMax',
  usual: 24,
};
const ipv6Rules: FamilyRules = {
  family: 6,
  network: 'IPv6Network',
  length: 'IPv6SubnetLen',
  min: 'IPv6SubnetMin',
  max: 'IPv6SubnetMax',
  usual: 64,
};

/**
 * Reads flannel's network configuration (net-conf.json, or the value of the key `config` in a datastore).
 * @param where the file or key, for errors
 * @throws FabricError `invalid-config`, naming key and value
 */
export function parseNetworkConfig(text: string, where: string): NetworkConfig {
  const config = parseConfigObject(text, where);
  const hasIpv4 = config.boolean('EnableIPv4') ?? true;
  const hasIpv6 = config.boolean('EnableIPv6') ?? false;
  if (!hasIpv4 && !hasIpv6) throw config.refusal('EnableIPv4', 'no address family is left');
  return {
    ...(hasIpv4 && { ipv4: readFamily(config, ipv4Rules) }),
    ...(hasIpv6 && { ipv6: readFamily(config, ipv6Rules) }),
    backend: readBackend(config),
  };
}

function readFamily(config: ConfigObject, rules: FamilyRules): FamilyNetwork {
  const text = config.string(rules.network);
  const cidr = text === undefined ? undefined : tryParseCidr(text);
  if (cidr === undefined || cidr.ip.family !== rules.family) {
    throw config.refusal(rules.network, `must be an IPv${rules.family} network`);
  }
  const network = networkOf(cidr);
  const subnetPrefix = readSubnetPrefix(config, rules, network);
  const size = 1n << BigInt(ipBits(rules.family) - subnetPrefix);
  // The first subnet is left out: its base address is that of the whole network.
  const first = readBound(config, rules.min, { network, size }) ?? ipPlus(network.ip, size)!;
  const last =
    readBound(config, rules.max, { network, size }) ??
    networkOf(cidrOf(broadcastOf(network), subnetPrefix)).ip;
  if (compareIp(first, last) > 0) throw config.refusal(rules.max, `is before ${rules.min}`);
  return { network, subnetPrefix, first, last };
}

/** A subnet holds at least four addresses, and a network at least four subnets. */
function readSubnetPrefix(config: ConfigObject, rules: FamilyRules, { prefix }: Cidr): number {
  const longest = ipBits(rules.family) - 2;
  const given = config.number(rules.length) ?? 0;
  if (given > longest) throw config.refusal(rules.length, `must be at most ${longest}`);
  if (given > 0) {
    if (given >= prefix + 2) return given;
    throw config.refusal(rules.length, `must be at least ${prefix + 2}, for four subnets in a /${prefix}`);
  }
  if (prefix > longest - 2) {
    throw config.refusal(rules.network, `is too small: the smallest that can be used is a /${longest - 2}`);
  }
  return Math.max(rules.usual, prefix + 2);
}

function readBound(
  config: ConfigObject,
  key: string,
  { network, size }: { network: Cidr; size: bigint },
): IpAddress | undefined {
  const text = config.string(key);
  if (text === undefined || text === '') return undefined;
  const ip = tryParseIp(text);
  if (ip === undefined || ip.family !== network.ip.family) {
    throw config.refusal(key, `must be an IPv${network.ip.family} address`);
  }
  if (ip.value === 0n) return undefined;
  if (!contains(network, ip)) throw config.refusal(key, 'is not in the network');
  if (ip.value % size !== 0n) throw config.refusal(key, 'is not the first address of a subnet');
  return ip;
}

function readBackend(config: ConfigObject): BackendConfig {
  const backend = config.object('Backend');
  // What flannel takes when nothing is said; we do not have it.
  const type = backend === undefined ? 'udp' : (backend.string('Type') ?? '');
  switch (type) {
    case 'vxlan':
      return readVxlan(backend!);
    case 'host-gw':
      return { type };
    case 'wireguard':
      return readWireguard(backend!);
    default:
      throw (backend ?? config).refusal(
        backend === undefined ? 'Backend' : 'Type',
        backend === undefined ? 'must be given' : 'must be "vxlan", "host-gw" or "wireguard"',
      );
  }
}

function readVxlan(backend: ConfigObject): VxlanConfig {
  const vni = backend.number('VNI') ?? 1;
  if (vni === 0 || vni > MAX_VNI) throw backend.refusal('VNI', `must be in 1 to ${MAX_VNI}`);
  const port = backend.number('Port') ?? 0;
  if (port > MAX_PORT) throw backend.refusal('Port', `must be in 0 to ${MAX_PORT}`);
  // Learning would let frames overwrite what we know for sure; the key is read and has no effect.
  backend.boolean('Learning');
  return {
    type: 'vxlan',
    vni,
    port,
    mtu: backend.number('MTU') ?? 0,
    gbp: backend.boolean('GBP') ?? false,
    directRouting: backend.boolean('DirectRouting') ?? false,
  };
}

function readWireguard(backend: ConfigObject): WireguardConfig {
  const psk = backend.string('PSK') || undefined;
  if (psk !== undefined && !isWireguardKey(psk)) throw backend.refusal('PSK', 'must be 32 bytes in base64');
  const name = backend.string('Mode') || 'separate';
  const mode = wireguardModes.find((one) => one === name);
  if (mode === undefined) throw backend.refusal('Mode', `must be one of ${wireguardModes.join(', ')}`);
  const number = (key: string, usual: number, [least, most]: [number, number]) => {
    const value = backend.number(key) ?? usual;
    if (value >= least && value <= most) return value;
    throw backend.refusal(key, `must be in ${least} to ${most}`);
  };
  return {
    type: 'wireguard',
    ...(psk !== undefined && { psk }),
    listenPort: number('ListenPort', 51_820, [1, MAX_PORT]),
    listenPortV6: number('ListenPortV6', 51_821, [1, MAX_PORT]),
    mtu: backend.number('MTU') ?? 0,
    mode,
    keepaliveSeconds: number('PersistentKeepaliveInterval', 0, [0, 0xffff]),
  };
}
