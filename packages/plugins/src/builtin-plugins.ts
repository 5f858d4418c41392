import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type BoundPlugin, bindPlugin, type InProcessPlugins } from '@amphipod/cni';
import { bandwidth } from './bandwidth/bandwidth.ts';
import { bridge } from './bridge/bridge.ts';
import { dhcp } from './dhcp/dhcp.ts';
import { dummy } from './dummy/dummy.ts';
import { firewall } from './firewall/firewall.ts';
import { hostDevice } from './host-device/host-device.ts';
import { hostLocal } from './host-local/host-local.ts';
import { ipvlan } from './ipvlan/ipvlan.ts';
import { openPluginHost, type PluginHost } from './lib/host.ts';
import { loopback } from './loopback/loopback.ts';
import { macvlan } from './macvlan/macvlan.ts';
import { portmap } from './portmap/portmap.ts';
import { ptp } from './ptp/ptp.ts';
import { staticIpam } from './static/static.ts';
import { tap } from './tap/tap.ts';
import { tuning } from './tuning/tuning.ts';
import { vlan } from './vlan/vlan.ts';

/** Where this package's executables are: a directory for CNI_PATH. */
export const pluginBinDir = fileURLToPath(new URL('../bin', import.meta.url));

/**
 * The plugins of this package, for calls in process. One is given only when the file that was found on the search path is
 * this package's own; anything else with that name, however it got there, is executed. Connections to the kernel are opened
 * at the first call, in the network namespace of that moment, and kept.
 */
export function builtinPlugins(openHost: () => PluginHost = openPluginHost): InProcessPlugins {
  let host: PluginHost | undefined;
  const bind = (plugin: Parameters<typeof bindPlugin<PluginHost>>[0]): BoundPlugin =>
    bindPlugin(plugin, () => {
      host ??= openHost();
      return host;
    });
  const plugins = new Map(
    [
      bandwidth,
      bridge,
      dhcp,
      dummy,
      firewall,
      hostDevice,
      hostLocal,
      ipvlan,
      loopback,
      macvlan,
      portmap,
      ptp,
      staticIpam,
      tap,
      tuning,
      vlan,
    ].map((plugin) => {
      // The very file, by whatever links it is reached; one that an upgrade put in its place is another version's.
      const { dev, ino } = statSync(`${pluginBinDir}/${plugin.type}`);
      return [plugin.type, { dev, ino, bound: bind(plugin) }];
    }),
  );
  return {
    resolve(type, file) {
      const plugin = plugins.get(type);
      if (plugin === undefined) return undefined;
      return file.dev === plugin.dev && file.ino === plugin.ino ? plugin.bound : undefined;
    },
  };
}
