import { CniError, type Dns, decodeDns, type PluginRequest } from '@amphipod/cni';
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

const MAX_MTU = 65_535;

/** Reads what ADD and CHECK need. @throws CniError invalid-network-config */
export function readConfig(request: Pick<PluginRequest, 'config'>): PtpConfig {
  const { config } = request;
  const keys = readKeys(config);
  const ipamType = readIpamType(request);
  if (ipamType === undefined) {
    throw new CniError(
      'invalid-network-config',
      'key "ipam.type": missing, want the name of an IPAM plugin',
      {
        key: 'ipam.type',
      },
    );
  }
  return {
    ipMasq: readIpMasq(keys),
    mtu: keys.integer('mtu', 0, MAX_MTU) || undefined,
    ipamType,
    dns: decodeDns(config.dns),
  };
}
