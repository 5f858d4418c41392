import { type Dns, decodeDns, type PluginRequest } from '@amphipod/cni';
import { MAX_VETH_MTU } from '../lib/host-veth.ts';
import { type IpMasq, readIpMasq } from '../lib/ip-masq.ts';
import { readIpamType } from '../lib/ipam.ts';
import { readKeys } from '../lib/read-keys.ts';

export interface PtpConfig {
  ipMasq: IpMasq | undefined;
  /** Undefined: the kernel's. */
  mtu: number | undefined;
  ipamType: string;
  dns: Dns | undefined;
}

/** Reads what ADD and CHECK need. @throws CniError invalid-network-config */
export function readConfig(request: Pick<PluginRequest, 'config'>): PtpConfig {
  const { config } = request;
  const keys = readKeys(config);
  const ipamType = readIpamType(request);
  if (ipamType === undefined) {
    return keys.refuse('ipam.type', 'key "ipam.type": missing, want the name of an IPAM plugin');
  }
  return {
    ipMasq: readIpMasq(keys),
    mtu: keys.integer('mtu', 0, MAX_VETH_MTU) || undefined,
    ipamType,
    dns: decodeDns(config.dns),
  };
}
