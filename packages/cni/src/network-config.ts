import type { PluginConfig } from './plugin.ts';

/** A network: plugins that are called one after another (a .conflist file). */
export interface NetworkConfigList {
  name: string;
  /** The highest version that the list asks for and this library speaks. */
  cniVersion: string;
  disableCheck: boolean;
  disableGC: boolean;
  loadOnlyInlinedPlugins: boolean;
  plugins: PluginConfig[];
  /** Those of `plugins` that come from the network's own folder: its last ones. */
  folderPlugins: PluginConfig[];
  /** Where it was read from. */
  file?: string;
  /** JSON text of the whole list, plugins of the network's own folder included; as kept in the result cache. */
  bytes: Uint8Array;
}
