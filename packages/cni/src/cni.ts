import { addList, findPlugins } from './add-list.ts';
import type { Attachment } from './attachment.ts';
import { ResultCache } from './cache.ts';
import { type CachedAttachment, resultOf } from './cache-file.ts';
import { callPlugin } from './call-plugin.ts';
import { checkList } from './check-list.ts';
import type { CallOptions, CallUnderWay, CniContext, EndedCall } from './context.ts';
import { delList } from './del-list.ts';
import { type GcOptions, gc } from './gc.ts';
import { ownNetnsTest } from './invoke/call-bound.ts';
import { createInvoker } from './invoke/invoker.ts';
import type { NetworkConfigList } from './network-config.ts';
import { OperationLocks } from './operation-locks.ts';
import type { AttachmentId, InProcessPlugins } from './plugin.ts';
import type { Result } from './result.ts';
import { pluginVersions, validateList } from './validate-list.ts';
import { isAtLeast } from './versions.ts';

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
  /** Gets what executed plugins write to stderr: their logs. */
  onPluginStderr?: (type: string, text: string) => void;
  /** Told of each call of a plugin when it is over: what took how long. */
  onCall?: (call: EndedCall) => void;
}

/** The runtime side of CNI. Operations on one container wait for one another, GC for all and all for GC. */
export interface Cni {
  /**
   * Attaches: every plugin in order. After a failure DEL has been run for the whole list, with time of its own, and the
   * original error is thrown. With `plugin-not-found` nothing was begun. @throws CniError; the signal's reason
   */
  addList(list: NetworkConfigList, attachment: Attachment, options?: CallOptions): Promise<Result>;
  /** Detaches: every plugin in reverse order, going on after failures. Fine when there is nothing. @throws CniError `several` or the one failure */
  delList(list: NetworkConfigList, attachment: Attachment, options?: CallOptions): Promise<void>;
  /** @throws CniError of the first plugin that finds something wrong */
  checkList(list: NetworkConfigList, attachment: Attachment, options?: CallOptions): Promise<void>;
  /** @throws CniError of the first plugin that could not serve an ADD */
  status(list: NetworkConfigList, options?: CallOptions): Promise<void>;
  /** Detaches what is cached for this network and not in `validAttachments`, then lets every plugin clean up. */
  gc(list: NetworkConfigList, options: GcOptions): Promise<void>;
  /** Finds every plugin, without calling one. @throws CniError plugin-not-found */
  findPlugins(list: NetworkConfigList): void;
  /** Finds every plugin and asks for its versions; gives the capabilities that the list declares. @throws CniError */
  validateList(list: NetworkConfigList, options?: CallOptions): Promise<string[]>;
  /** Versions that the plugin says it supports (VERSION). */
  pluginVersions(type: string, options?: CallOptions): Promise<string[]>;
  /** What is attached, with the list that it was attached by; `list` is undefined when that cannot be read any more. */
  cachedAttachments(containerID?: string): (CachedAttachment & { list: NetworkConfigList | undefined })[];
  /** The result of the last ADD. @throws CniError decoding-failure */
  cachedResult(network: string, attachment: AttachmentId): Result | undefined;
  /**
   * Changes what is kept as the result, for a runtime that has changed the pod's interfaces after ADD itself: CHECK and DEL go by it.
   * Nothing happens when there is none. @throws CniError decoding-failure, io-failure
   */
  changeCachedResult(network: string, attachment: AttachmentId, change: (result: Result) => Result): void;
  /** The list that the attachment was made with. */
  cachedConfig(network: string, attachment: AttachmentId): NetworkConfigList | undefined;
  /** Calls of plugins that have not ended yet, the oldest first: says which one hangs. */
  callsUnderWay(): CallUnderWay[];
  /** Takes away what processes left that were killed while they wrote to the cache: for the start of a daemon. GC does it too. */
  removeLeftovers(): void;
  /** Resolves when the cache is on the disk; until then a power failure may take the newest files away. */
  synced(): Promise<void>;
}

const DEFAULT_TIMEOUT_MS = 60_000;

/** The runtime side of CNI over these directories; needs no closing. */
export function createCni(options: CniOptions): Cni {
  const { pluginDirs, inProcess } = options;
  const context: CniContext = {
    invoker: createInvoker({
      pluginDirs,
      inProcess,
      ownGroup: true,
      // Executed plugins inherit the variable.
      isOwnNetns: ownNetnsTest(process.env),
      onStderr: options.onPluginStderr,
    }),
    cache: new ResultCache(options.cacheDir),
    calls: new Set(),
    timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    cleanupTimeoutMs: options.cleanupTimeoutMs ?? DEFAULT_TIMEOUT_MS,
    onWarning: options.onWarning ?? (() => {}),
    onCall: options.onCall ?? (() => {}),
  };
  const locks = new OperationLocks();
  return {
    addList: (list, attachment, call) =>
      locks.shared(attachment.containerID, () => addList(context, list, attachment, call)),
    delList: (list, attachment, call) =>
      locks.shared(attachment.containerID, () => delList(context, list, attachment, call)),
    checkList: (list, attachment, call) =>
      locks.shared(attachment.containerID, () => checkList(context, list, attachment, call)),
    gc: (list, call) => locks.exclusive(() => gc(context, list, call)),
    async status(list, { signal } = {}) {
      if (!isAtLeast(list.cniVersion, '1.1.0')) return;
      for (const plugin of list.plugins) await callPlugin(context, 'STATUS', { list, plugin, signal });
    },
    findPlugins: (list) => void findPlugins(context, list),
    validateList: (list, call) => validateList(context, list, call),
    pluginVersions: (type, call) => pluginVersions(context, type, call),
    cachedAttachments: (containerID) => context.cache.list(containerID),
    cachedResult(network, attachment) {
      const entry = context.cache.read(network, attachment);
      return entry === undefined ? undefined : resultOf(entry);
    },
    changeCachedResult(network, attachment, change) {
      const entry = context.cache.read(network, attachment);
      const result = entry && resultOf(entry);
      if (entry?.list === undefined || result === undefined) return;
      context.cache.write(entry.list, entry.attachment, change(result));
    },
    removeLeftovers: () => context.cache.removeStaleTemporaries(),
    synced: () => context.cache.synced(),
    callsUnderWay: () =>
      [...context.calls].map(({ startedAt, ...call }) => ({
        ...call,
        forMs: Math.round(performance.now() - startedAt),
      })),
    cachedConfig(network, attachment) {
      try {
        return context.cache.read(network, attachment)?.list;
      } catch (error) {
        context.onWarning((error as Error).message);
        return undefined;
      }
    },
  };
}
