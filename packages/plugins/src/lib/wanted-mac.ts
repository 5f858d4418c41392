import { CniError, type PluginRequest, parseArgs } from '@amphipod/cni';
import { isMac } from '@amphipod/netlink';
import { readKeys } from './read-keys.ts';

/**
 * The hardware address that is asked for, in lower case: the key `mac` where the plugin has one, and before it CNI_ARGS `MAC=`,
 * `args.cni.mac`, `runtimeConfig.mac`, the last of them first. @throws CniError invalid-network-config
 */
export function wantedMac(
  { config, args }: Pick<PluginRequest, 'config' | 'args'>,
  { hasKey }: { hasKey: boolean },
): string | undefined {
  const keys = readKeys(config);
  // Others in CNI_ARGS are not this plugin's business unless there is a MAC among them.
  const fromArgs = args.includes('MAC=') ? parseArgs(args, ['MAC']).MAC : undefined;
  const sources = [
    { key: 'runtimeConfig.mac', mac: keys.object('runtimeConfig')?.string('mac') },
    { key: 'args.cni.mac', mac: keys.object('args')?.object('cni')?.string('mac') },
    { mac: fromArgs },
    { key: 'mac', mac: hasKey ? keys.string('mac') : undefined },
  ];
  const found = sources.find(({ mac }) => mac);
  if (found?.mac === undefined) return undefined;
  const { mac, ...key } = found;
  if (!isMac(mac)) {
    throw new CniError(
      'invalid-network-config',
      `mac ${JSON.stringify(mac)}: not a hardware address such as "c2:11:22:33:44:55"`,
      key,
    );
  }
  return mac.toLowerCase();
}
