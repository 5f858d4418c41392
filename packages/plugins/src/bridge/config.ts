import { type Dns, decodeDns, isJsonObject, type PluginRequest } from '@amphipod/cni';
import { MAX_VETH_MTU } from '../lib/host-veth.ts';
import { type IpMasq, readIpMasq } from '../lib/ip-masq.ts';
import { readIpamType } from '../lib/ipam.ts';
import { keyFinder, readKeys } from '../lib/read-keys.ts';
import { wantedMac } from '../lib/wanted-mac.ts';
import { type PortVlans, readVlans } from './read-vlans.ts';

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
  /** Undefined: the bridge need not look at VLANs. */
  vlans: PortVlans | undefined;
  /** Drops what the pod sends with another hardware address than its own. */
  macSpoofCheck: boolean;
  enableDad: boolean;
  /** The container's end is left down and gets no address. */
  disableContainerInterface: boolean;
  /** Of the container's interface. */
  mac: string | undefined;
  /** Undefined: no addresses, layer 2 only. */
  ipamType: string | undefined;
  dns: Dns | undefined;
}

/** Reads what ADD and CHECK need. @throws CniError invalid-network-config */
export function readConfig(request: Pick<PluginRequest, 'config' | 'args'>): BridgeConfig {
  const { config } = request;
  const keys = readKeys(config);
  const isDefaultGateway = keys.boolean('isDefaultGateway') ?? false;
  const hairpin = keys.boolean('hairpinMode') ?? false;
  const promisc = keys.boolean('promiscMode') ?? false;
  if (hairpin && promisc) {
    return keys.refuse('promiscMode', 'cannot set hairpin mode and promiscuous mode at the same time');
  }
  const ipamType = readIpamType(request);
  const disableContainerInterface = keys.boolean('disableContainerInterface') ?? false;
  if (disableContainerInterface && ipamType !== undefined) {
    return keys.refuse(
      'disableContainerInterface',
      'cannot use IPAM when DisableContainerInterface flag is set',
    );
  }
  return {
    bridge: keys.string('bridge') || 'cni0',
    isGateway: (keys.boolean('isGateway') ?? false) || isDefaultGateway,
    isDefaultGateway,
    forceAddress: keys.boolean('forceAddress') ?? false,
    ipMasq: readIpMasq(keys),
    mtu: keys.integer('mtu', 0, MAX_VETH_MTU) || undefined,
    hairpin,
    promisc,
    isolated: keys.boolean('portIsolation') ?? false,
    vlans: readVlans(keys),
    macSpoofCheck: keys.boolean('macspoofchk') ?? false,
    enableDad: keys.boolean('enabledad') ?? false,
    disableContainerInterface,
    mac: wantedMac(request, { hasKey: false }),
    ipamType,
    dns: decodeDns(config.dns),
  };
}

/** True for a configuration with MAC spoof checks; never fails, for DEL. */
export function wantsMacSpoofCheck({ config }: Pick<PluginRequest, 'config'>): boolean {
  return isJsonObject(config) && keyFinder(config)('macspoofchk') === true;
}
