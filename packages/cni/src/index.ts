export type { Attachment } from './attachment.ts';
export type { CachedAttachment } from './cache.ts';
export { type CallOptions, type Cni, type CniOptions, createCni } from './cni.ts';
export { CniError, type CniErrorCode, cniErrorNumbers } from './errors.ts';
export type { NetworkConfigList } from './network-config.ts';
export {
  type AttachmentId,
  type BoundPlugin,
  bindPlugin,
  type CniCommand,
  type InProcessPlugins,
  type NetConf,
  type Plugin,
  type PluginConfig,
  type PluginRequest,
} from './plugin.ts';
export type { Dns, Result, ResultInterface, ResultIp, ResultRoute } from './result.ts';

import type { CniError } from './errors.ts';
import type { NetworkConfigList } from './network-config.ts';

export declare function loadNetworkConfigLists(confDir: string): {
  lists: NetworkConfigList[];
  errors: CniError[];
};
