import { CniError, type PluginRequest } from '@amphipod/cni';
import type { MacvlanMode } from '@amphipod/netlink';
import { readIpamType } from '../lib/ipam.ts';
import { type ParentConfig, readParent } from '../lib/parent-link.ts';
import { readKeys } from '../lib/read-keys.ts';
import { wantedMac } from '../lib/wanted-mac.ts';

export interface MacvlanConfig extends ParentConfig {
  mode: MacvlanMode;
  mac: string | undefined;
  /** Multicast frames that may wait for the links of the parent; undefined: the kernel's 1000. */
  bcQueueLength: number | undefined;
  /** Undefined: layer 2 only. */
  ipamType: string | undefined;
}

const modes: readonly string[] = ['bridge', 'private', 'vepa', 'passthru'];

/** @throws CniError invalid-network-config */
export function readConfig(request: Pick<PluginRequest, 'config' | 'args'>): MacvlanConfig {
  const keys = readKeys(request.config);
  const mode = keys.string('mode') || 'bridge';
  if (!modes.includes(mode)) {
    throw new CniError('invalid-network-config', `unknown macvlan mode: ${JSON.stringify(mode)}`, {
      key: 'mode',
    });
  }
  return {
    ...readParent(keys),
    mode: mode as MacvlanMode,
    mac: wantedMac(request, { hasKey: true }),
    bcQueueLength: keys.integer('bcqueuelen', 0, 2 ** 32 - 1) || undefined,
    ipamType: readIpamType(request),
  };
}
