import { CniError, type Dns, decodeDns, type PluginRequest } from '@amphipod/cni';
import { type IpMasq, readIpMasq } from '../lib/ip-masq.ts';
import { readIpamType } from '../lib/ipam.ts';
import { type KeyReader, readKeys } from '../lib/read-keys.ts';
import { wantedMac } from '../lib/wanted-mac.ts';

export interface BridgeConfig {
  bridge: string;
  isGateway: boolean;
  isDefaultGateway: boolean;
  /** Replaces other addresses of the bridge that are in the gateway's way. */
  forceAddress: boolean;
  ipMasq: IpMasq | undefined;
  /** Undefined: the kernel's, or the bridge's when it is there already. */
  mtu: number | undefined;
  hairpin: boolean;
  promisc: boolean;
  isolated: boolean;
  enableDad: boolean;
  /** The container's end is left down and gets no address. */
  disableContainerInterface: boolean;
  /** Of the container's interface. */
  mac: string | undefined;
  /** Undefined: no addresses, layer 2 only. */
  ipamType: string | undefined;
  dns: Dns | undefined;
}

const MAX_MTU = 65_535;

/** Reads what ADD and CHECK need. @throws CniError invalid-network-config, unsupported-field */
export function readConfig(request: Pick<PluginRequest, 'config' | 'args'>): BridgeConfig {
  const { config } = request;
  const keys = readKeys(config);
  refuseUnsupported(keys, config.vlan);
  const isDefaultGateway = keys.boolean('isDefaultGateway') ?? false;
  const hairpin = keys.boolean('hairpinMode') ?? false;
  const promisc = keys.boolean('promiscMode') ?? false;
  if (hairpin && promisc) {
    throw invalid('cannot set hairpin mode and promiscuous mode at the same time');
  }
  const ipamType = readIpamType(request);
  const disableContainerInterface = keys.boolean('disableContainerInterface') ?? false;
  if (disableContainerInterface && ipamType !== undefined) {
    throw invalid('cannot use IPAM when disableContainerInterface flag is set');
  }
  return {
    bridge: keys.string('bridge') || 'cni0',
    isGateway: (keys.boolean('isGateway') ?? false) || isDefaultGateway,
    isDefaultGateway,
    forceAddress: keys.boolean('forceAddress') ?? false,
    ipMasq: readIpMasq(keys),
    mtu: keys.integer('mtu', 0, MAX_MTU) || undefined,
    hairpin,
    promisc,
    isolated: keys.boolean('portIsolation') ?? false,
    enableDad: keys.boolean('enabledad') ?? false,
    disableContainerInterface,
    mac: wantedMac(request, { hasKey: false }),
    ipamType,
    dns: decodeDns(config.dns),
  };
}

function refuseUnsupported(keys: KeyReader, vlan: unknown): void {
  if (keys.has('vlan') && vlan !== 0) {
    const id = keys.integer('vlan', -(2 ** 31), 2 ** 31)!;
    if (id < 0 || id > 4094) throw invalid(`invalid VLAN ID ${id} (must be between 0 and 4094)`);
    unsupported('vlan', id, 'bridges with VLAN filtering are not supported');
  }
  if (keys.has('vlanTrunk') && (keys.objects('vlanTrunk')?.length ?? 0) > 0) {
    unsupported('vlanTrunk', '[…]', 'bridges with VLAN filtering are not supported');
  }
  if (keys.boolean('macspoofchk')) unsupported('macspoofchk', true, 'only false is supported');
}

function unsupported(key: string, value: unknown, why: string): never {
  throw new CniError('unsupported-field', `key "${key}": value ${JSON.stringify(value)}: ${why}`, { key });
}

function invalid(message: string): CniError {
  return new CniError('invalid-network-config', message);
}
