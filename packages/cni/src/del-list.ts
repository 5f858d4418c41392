import type { Attachment } from './attachment.ts';
import { type CacheEntry, resultOf } from './cache.ts';
import { callPlugin, validateAttachment } from './call-plugin.ts';
import type { CallOptions, CniContext } from './cni.ts';
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
  const used = entry?.list ?? list;
  const asAdded: Attachment = { ...entry?.attachment, ...attachment };
  const prevResult = isAtLeast(used.cniVersion, '0.4.0') ? resultTolerantly(context, entry) : undefined;
  const failures: unknown[] = [];
  for (const plugin of used.plugins.toReversed()) {
    try {
      await callPlugin(context, 'DEL', { list: used, plugin, attachment: asAdded, prevResult, signal });
    } catch (error) {
      failures.push(error);
    }
  }
  throwAll(failures);
  context.cache.remove(list.name, attachment);
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
