import { statfsSync } from 'node:fs';
import type { Attachment } from './attachment.ts';
import { type CacheEntry, resultOf } from './cache-file.ts';
import { callPlugin, validateAttachment } from './call-plugin.ts';
import type { CallOptions, CniContext } from './context.ts';
import { CniError } from './errors.ts';
import type { NetworkConfigList } from './network-config.ts';
import type { Result } from './result.ts';
import { isAtLeast } from './versions.ts';

/** See {@link Cni.delList}. Configuration and arguments of the ADD go before those of the caller, who may have newer ones. */
export async function delList(
  context: CniContext,
  list: NetworkConfigList,
  attachment: Attachment,
  { signal }: CallOptions = {},
): Promise<void> {
  validateAttachment(list, attachment);
  const entry = readTolerantly(context, list, attachment);
  const used = listOfAdd(entry, list);
  const asAdded = usable({ ...entry?.attachment, ...attachment });
  const prevResult = isAtLeast(used.cniVersion, '0.4.0') ? resultTolerantly(context, entry) : undefined;
  const failures: unknown[] = [];
  for (const plugin of used.plugins.toReversed()) {
    try {
      await callPlugin(context, 'DEL', { list: used, plugin, attachment: asAdded, prevResult, signal });
    } catch (error) {
      failures.push(error);
    }
  }
  signal?.throwIfAborted();
  throwAll(failures);
  try {
    context.cache.remove(list.name, attachment);
  } catch (error) {
    // All is undone; an error would have it undone again, for ever.
    context.onWarning((error as Error).message);
  }
}

/** What libcni caches lacks the plugins of the network's own folder: they are those that the caller has now. */
function listOfAdd(entry: CacheEntry | undefined, list: NetworkConfigList): NetworkConfigList {
  const cached = entry?.list;
  if (cached === undefined) return list;
  if (cached.loadOnlyInlinedPlugins || list.folderPlugins.length === 0) return cached;
  return { ...cached, plugins: [...cached.plugins, ...list.folderPlugins] };
}

/** A path that leads to something else than a namespace is as good as none (field case CNI-18), and plugins trip over it. */
function usable(attachment: Attachment): Attachment {
  const { netns } = attachment;
  if (netns === '') return attachment;
  return isNoNamespace(netns) ? { ...attachment, netns: '' } : attachment;
}

// File systems of namespaces: nsfs, and procfs before Linux 3.19.
const namespaceMagics = [0x6e736673, 0x9fa0];

/** False also for a missing path, which plugins know to handle. */
function isNoNamespace(path: string): boolean {
  try {
    return !namespaceMagics.includes(statfsSync(path).type);
  } catch {
    return false;
  }
}

/** Throws the one failure, or one error for several. */
export function throwAll(failures: readonly unknown[]): void {
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) {
    const texts = failures.map((failure) => (failure instanceof Error ? failure.message : String(failure)));
    throw new CniError('several', texts.join('; '), { errors: failures, cause: failures[0] });
  }
}

function readTolerantly(
  context: CniContext,
  list: NetworkConfigList,
  attachment: Attachment,
): CacheEntry | undefined {
  try {
    return context.cache.read(list.name, attachment);
  } catch (error) {
    context.onWarning(`${(error as Error).message}; detaching without it`);
    return undefined;
  }
}

function resultTolerantly(context: CniContext, entry: CacheEntry | undefined): Result | undefined {
  try {
    return entry === undefined ? undefined : resultOf(entry);
  } catch (error) {
    context.onWarning(`decode cached result: ${(error as Error).message}; detaching without it`);
    return undefined;
  }
}
