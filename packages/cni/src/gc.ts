import { callPlugin } from './call-plugin.ts';
import type { CallOptions, CniContext } from './context.ts';
import { delList, throwAll } from './del-list.ts';
import type { NetworkConfigList } from './network-config.ts';
import type { AttachmentId } from './plugin.ts';
import { isAtLeast } from './versions.ts';

export interface GcOptions extends CallOptions {
  /** What is to stay. Undefined, which has to be said: nothing is, and plugins are not told of any. */
  validAttachments: readonly AttachmentId[] | undefined;
}

/** See {@link Cni.gc}. Goes on after failures. */
export async function gc(
  context: CniContext,
  list: NetworkConfigList,
  { validAttachments, signal }: GcOptions,
): Promise<void> {
  if (list.disableGC) return;
  const failures: unknown[] = [];
  const attempt = async (work: () => Promise<unknown>) => {
    try {
      await work();
    } catch (error) {
      failures.push(error);
    }
  };
  const idOf = ({ containerID, ifName }: AttachmentId) => `${containerID}/${ifName}`;
  const valid = new Set(validAttachments?.map(idOf));
  await attempt(async () => {
    context.cache.removeStaleTemporaries();
    for (const { list: _list, ...attachment } of context.cache.list()) {
      if (attachment.network !== list.name || valid.has(idOf(attachment))) continue;
      await attempt(() => delList(context, list, attachment, { signal }));
    }
  });
  signal?.throwIfAborted();
  if (isAtLeast(list.cniVersion, '1.1.0')) {
    const given = validAttachments === undefined ? {} : { validAttachments };
    for (const plugin of list.plugins) {
      await attempt(() => callPlugin(context, 'GC', { list, plugin, ...given, signal }));
    }
  }
  signal?.throwIfAborted();
  throwAll(failures);
}
