import { CniError, type PluginRequest } from '@amphipod/cni';
import { readIpamType } from '../lib/ipam.ts';
import { type ParentConfig, readParent } from '../lib/parent-link.ts';
import { readKeys } from '../lib/read-keys.ts';

export interface VlanConfig extends ParentConfig {
  master: string;
  vlanId: number;
  ipamType: string;
}

/** @throws CniError invalid-network-config */
export function readConfig(request: Pick<PluginRequest, 'config'>): VlanConfig {
  const keys = readKeys(request.config);
  const { master, ...parent } = readParent(keys);
  if (master === undefined) {
    throw invalid(
      'master',
      '"master" field is required. It specifies the host interface name to create the VLAN for',
    );
  }
  const vlanId = keys.integer('vlanId', -(2 ** 31), 2 ** 31 - 1) ?? 0;
  if (vlanId < 0 || vlanId > 4094) {
    throw invalid('vlanId', `invalid VLAN ID ${vlanId} (must be between 0 and 4095 inclusive)`);
  }
  const ipamType = readIpamType(request);
  if (ipamType === undefined) throw invalid('ipam', 'vlan interface requires an IPAM configuration');
  return { ...parent, master, vlanId, ipamType };
}

function invalid(key: string, message: string): CniError {
  return new CniError('invalid-network-config', message, { key });
}
