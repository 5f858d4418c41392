export { bandwidth } from './bandwidth/bandwidth.ts';
export { bridge } from './bridge/bridge.ts';
export { type BuiltinPlugins, builtinPlugins, builtinPluginTypes } from './builtin-plugins.ts';
export { calico } from './calico/calico.ts';
export { calicoIpam } from './calico-ipam/calico-ipam.ts';
export { type ConfigCheck, commonKeys, configChecks, type KnownKeys } from './config-checks.ts';
export { dhcp } from './dhcp/dhcp.ts';
export { parseDuration } from './dhcp/parse-duration.ts';
export { type DhcpDaemonOptions, runDhcpDaemon } from './dhcp/run-dhcp-daemon.ts';
export { dummy } from './dummy/dummy.ts';
export { type ExecutableIdentity, readIdentity, writeIdentity } from './executables/identity.ts';
export {
  type FoundExecutable,
  findExecutables,
  type InstallOptions,
  installExecutables,
} from './executables/install-executables.ts';
export {
  defaultPluginSocket,
  type Installation,
  ownInstallation,
  pluginBinDir,
} from './executables/installation.ts';
export { nativeLauncherPath, readLauncher } from './executables/launcher.ts';
export { writeExecutable } from './executables/write-executable.ts';
export { firewall } from './firewall/firewall.ts';
export { hostDevice } from './host-device/host-device.ts';
export { hostLocal } from './host-local/host-local.ts';
export { ipvlan } from './ipvlan/ipvlan.ts';
export { type DatastoreSettings, type Datastores, openDatastore } from './lib/datastores.ts';
export { type Openers, openPluginHost, type PluginHost, type Pod } from './lib/host.ts';
export { loopback } from './loopback/loopback.ts';
export { macvlan } from './macvlan/macvlan.ts';
export { portmap } from './portmap/portmap.ts';
export { ptp } from './ptp/ptp.ts';
export { removeUnused } from './remove-unused.ts';
export { sbr } from './sbr/sbr.ts';
export { createPluginServer, type PluginServer, type PluginServerOptions } from './server/plugin-server.ts';
export type { Places as SriovPlaces } from './sriov/places.ts';
export { type DeviceHolder, deviceHolder } from './sriov/records.ts';
export { sriov, sriovIn } from './sriov/sriov.ts';
export { unwantedSettings } from './sriov/unwanted-settings.ts';
export { staticIpam } from './static/static.ts';
export { tap } from './tap/tap.ts';
export { tuning } from './tuning/tuning.ts';
export { vlan } from './vlan/vlan.ts';
export { vrf } from './vrf/vrf.ts';
