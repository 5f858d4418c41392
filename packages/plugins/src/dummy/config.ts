import { CniError, type PluginRequest } from '@amphipod/cni';
import { readIpamType } from '../lib/ipam.ts';

export interface DummyConfig {
  ipamType: string;
}

/** @throws CniError invalid-network-config */
export function readConfig(request: Pick<PluginRequest, 'config'>): DummyConfig {
  const ipamType = readIpamType(request);
  if (ipamType !== undefined) return { ipamType };
  throw new CniError('invalid-network-config', 'dummy interface requires an IPAM configuration', {
    key: 'ipam',
  });
}
