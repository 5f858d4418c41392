import { type BoundPlugin, bindPlugin, type InProcessPlugins, type Plugin } from '@amphipod/cni';
import { bandwidth } from './bandwidth/bandwidth.ts';
import { bridge } from './bridge/bridge.ts';
import { calico } from './calico/calico.ts';
import { calicoIpam } from './calico-ipam/calico-ipam.ts';
import { dhcp } from './dhcp/dhcp.ts';
import { dummy } from './dummy/dummy.ts';
import { ownInstallation } from './executables/installation.ts';
import { createOwnExecutables } from './executables/own-executables.ts';
import { firewall } from './firewall/firewall.ts';
import { flannel } from './flannel/flannel.ts';
import { hostDevice } from './host-device/host-device.ts';
import { hostLocal } from './host-local/host-local.ts';
import { ipvlan } from './ipvlan/ipvlan.ts';
import { openPluginHost, type PluginHost } from './lib/host.ts';
import { loopback } from './loopback/loopback.ts';
import { macvlan } from './macvlan/macvlan.ts';
import { portmap } from './portmap/portmap.ts';
import { ptp } from './ptp/ptp.ts';
import { sbr } from './sbr/sbr.ts';
import { sriov } from './sriov/sriov.ts';
import { staticIpam } from './static/static.ts';
import { tap } from './tap/tap.ts';
import { tuning } from './tuning/tuning.ts';
import { vlan } from './vlan/vlan.ts';
import { vrf } from './vrf/vrf.ts';

/** The plugins of this package; `scripts/make-executables.ts` makes an executable for each. */
const plugins: readonly Plugin<PluginHost>[] = [
  bandwidth,
  bridge,
  calico,
  calicoIpam,
  dhcp,
  dummy,
  firewall,
  flannel,
  hostDevice,
  hostLocal,
  ipvlan,
  loopback,
  macvlan,
  portmap,
  ptp,
  sbr,
  sriov,
  staticIpam,
  tap,
  tuning,
  vlan,
  vrf,
];

/** The types of this package's plugins, in alphabetical order. */
export const builtinPluginTypes: readonly string[] = plugins.map(({ type }) => type);

/** The plugins of this package, for calls in process. */
export interface BuiltinPlugins extends InProcessPlugins {
  /** By type alone, for whoever stands in for the executable. */
  get(type: string): BoundPlugin | undefined;
}

/**
 * The plugins of this package, for calls in process. `resolve` gives one only when the file that was found on the search
 * path is this installation's own or a copy that it installed; anything else with that name, however it got there, is
 * executed. Connections to the kernel are opened at the first call, in the network namespace of that moment, and kept.
 */
export function builtinPlugins(openHost: () => PluginHost = openPluginHost): BuiltinPlugins {
  let host: PluginHost | undefined;
  const openOnce = () => {
    host ??= openHost();
    return host;
  };
  const bound = new Map(plugins.map((plugin) => [plugin.type, bindPlugin(plugin, openOnce)]));
  const executables = createOwnExecutables(ownInstallation(), bound.keys());
  return {
    get: (type) => bound.get(type),
    resolve: (type, file) => (executables.has(type, file) ? bound.get(type) : undefined),
  };
}
