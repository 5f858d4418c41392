import type { Attachment } from './attachment.ts';
import type { CachedAttachment } from './cache.ts';
import type { NetworkConfigList } from './network-config.ts';
import type { AttachmentId, InProcessPlugins } from './plugin.ts';
import type { Result } from './result.ts';

export interface CniOptions {
  /** Where plugins are looked for, in order (CNI_PATH). */
  pluginDirs: readonly string[];
  /** libcni's is /var/lib/cni; results are kept in `results` below it. */
  cacheDir: string;
  /** Plugins that need not be executed. */
  inProcess?: InProcessPlugins;
  /** For each call of a plugin. Default 60 s. */
  timeoutMs?: number;
  /** For the clean-up after a failed ADD, all plugins together. Default 60 s. */
  cleanupTimeoutMs?: number;
  /** Told of what did not hinder the work: a damaged cache file, a failed clean-up. */
  onWarning?: (message: string) => void;
}

export interface CallOptions {
  signal?: AbortSignal | undefined;
}

/** The runtime side of CNI. Operations on one container wait for one another, GC for all and all for GC. */
export interface Cni {
  /**
   * Attaches: every plugin in order. After a failure DEL has been run for the whole list, with time of its own, and the
   * original error is thrown. @throws CniError; the signal's reason
   */
  addList(list: NetworkConfigList, attachment: Attachment, options?: CallOptions): Promise<Result>;
  /** Detaches: every plugin in reverse order, going on after failures. Fine when there is nothing. @throws CniError `several` or the one failure */
  delList(list: NetworkConfigList, attachment: Attachment, options?: CallOptions): Promise<void>;
  /** @throws CniError of the first plugin that finds something wrong */
  checkList(list: NetworkConfigList, attachment: Attachment, options?: CallOptions): Promise<void>;
  /** @throws CniError of the first plugin that could not serve an ADD */
  status(list: NetworkConfigList, options?: CallOptions): Promise<void>;
  /** Detaches what is cached for this network and not in `validAttachments`, then lets every plugin clean up. */
  gc(
    list: NetworkConfigList,
    options: CallOptions & { validAttachments: readonly AttachmentId[] },
  ): Promise<void>;
  /** Finds every plugin and asks for its versions; gives the capabilities that the list declares. @throws CniError */
  validateList(list: NetworkConfigList, options?: CallOptions): Promise<string[]>;
  /** Versions that the plugin says it supports (VERSION). */
  pluginVersions(type: string, options?: CallOptions): Promise<string[]>;
  cachedAttachments(containerID?: string): CachedAttachment[];
  /** The result of the last ADD. @throws CniError decoding-failure */
  cachedResult(network: string, attachment: AttachmentId): Result | undefined;
  /** The list that the attachment was made with. */
  cachedConfig(network: string, attachment: AttachmentId): NetworkConfigList | undefined;
}

export declare function createCni(options: CniOptions): Cni;
