import { CniError, type Dns, decodeDns, isJsonObject, type PluginRequest } from '@amphipod/cni';
import { readIpamType } from '../lib/ipam.ts';
import { readKeys } from '../lib/read-keys.ts';

export interface PtpConfig {
  ipMasq: boolean;
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
    ipMasq: keys.boolean('ipMasq') ?? false,
    mtu: keys.integer('mtu', 0, MAX_MTU) || undefined,
    ipamType,
    dns: decodeDns(config.dns),
  };
}

/** True for a configuration with masquerading; never fails, for DEL. */
export function wantsMasquerade({ config }: Pick<PluginRequest, 'config'>): boolean {
  return isJsonObject(config) && config.ipMasq === true;
}
