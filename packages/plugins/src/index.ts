export { bridge } from './bridge/bridge.ts';
export { builtinPlugins, pluginBinDir } from './builtin-plugins.ts';
export { hostLocal } from './host-local/host-local.ts';
export { type Openers, openPluginHost, type PluginHost, type Pod } from './lib/host.ts';
export { loopback } from './loopback/loopback.ts';
export { portmap } from './portmap/portmap.ts';
export { removeUnused } from './remove-unused.ts';
export { staticIpam } from './static/static.ts';
