export { parseArgs } from './args.ts';
export type { Attachment } from './attachment.ts';
export type { CachedAttachment } from './cache-file.ts';
export { type Cni, type CniOptions, createCni } from './cni.ts';
export type { CallOptions, CallUnderWay, EndedCall } from './context.ts';
export { decodeDns, decodeResult } from './decode-result.ts';
export { duplicateKeys, type KeyPath } from './duplicate-keys.ts';
export { encodeResult } from './encode-result.ts';
export { CniError, type CniErrorCode, cniErrorNumbers, toCniError } from './errors.ts';
export { findPlugin, type PluginFile } from './invoke/find-plugin.ts';
export { createInvoker, type Invoker } from './invoke/invoker.ts';
export {
  describeJson,
  isJsonObject,
  isRawNumber,
  type JsonObject,
  parseJson,
  type RawNumber,
  stringifyJson,
} from './json.ts';
export {
  findNetworkConfigList,
  type LoadedNetworks,
  loadNetworkConfigLists,
} from './load-network-config-lists.ts';
export type { NetworkConfigList } from './network-config.ts';
export { parseNetworkConfig, parseNetworkConfigList } from './parse-network-config.ts';
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
export { processIo, runPlugin, type SkelIo, type SkelOptions } from './skel.ts';
export { isAtLeast, newestVersion, specVersions } from './versions.ts';
