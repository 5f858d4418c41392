import { isJsonObject, type JsonObject, type PluginRequest } from '@amphipod/cni';
import { readKeys } from '../lib/read-keys.ts';

export interface FlannelConfig {
  subnetFile: string;
  dataDir: string;
  /** Configuration of the plugin that does the work, as far as the user has it; its type is "bridge" unless given. */
  delegate: JsonObject & { type: string };
  /** As the user has it. */
  ipam: JsonObject;
}

/** @throws CniError invalid-network-config */
export function readConfig({ config }: Pick<PluginRequest, 'config'>): FlannelConfig {
  const keys = readKeys(config);
  const delegateKeys = keys.object('delegate');
  for (const key of ['name', 'ipam']) {
    if (delegateKeys?.has(key)) {
      keys.refuse(
        `delegate.${key}`,
        `'delegate' dictionary must not have '${key}' field, it'll be set by flannel`,
      );
    }
  }
  const ipamKeys = keys.object('ipam');
  ipamKeys?.objects('routes');
  return {
    subnetFile: keys.string('subnetFile') || '/run/flannel/subnet.env',
    dataDir: keys.string('dataDir') || '/var/lib/cni/flannel',
    delegate: {
      ...(isJsonObject(config.delegate) && config.delegate),
      type: delegateKeys?.string('type') || 'bridge',
    },
    ipam: { ...config.ipam, type: ipamKeys?.string('type') || 'host-local' },
  };
}
