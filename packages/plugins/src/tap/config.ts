import type { PluginRequest } from '@amphipod/cni';
import { readIpamType } from '../lib/ipam.ts';
import { readKeys } from '../lib/read-keys.ts';
import { wantedMac } from '../lib/wanted-mac.ts';

export interface TapConfig {
  multiQueue: boolean;
  /** Undefined: the kernel's 1500. */
  mtu: number | undefined;
  mac: string | undefined;
  /** Numeric user and group that may open the device; anybody may when neither is given. */
  owner: number | undefined;
  group: number | undefined;
  /** The label that the device is made with. */
  selinuxContext: string | undefined;
  /** A bridge in the pod that the device joins. */
  bridge: string | undefined;
  /** Undefined: layer 2 only. */
  ipamType: string | undefined;
}

const MAX_ID = 2 ** 32 - 2;
const MAX_MTU = 65_521;

/** @throws CniError invalid-network-config */
export function readConfig(request: Pick<PluginRequest, 'config' | 'args'>): TapConfig {
  const keys = readKeys(request.config);
  return {
    multiQueue: keys.boolean('multiQueue') ?? false,
    mtu: keys.integer('mtu', 0, MAX_MTU) || undefined,
    mac: wantedMac(request, { hasKey: true }),
    owner: keys.integer('owner', 0, MAX_ID),
    group: keys.integer('group', 0, MAX_ID),
    selinuxContext: keys.string('selinuxContext') || undefined,
    bridge: keys.string('bridge') || undefined,
    ipamType: readIpamType(request),
  };
}
