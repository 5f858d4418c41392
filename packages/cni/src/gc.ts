import { callPlugin } from './call-plugin.ts';
import type { CallOptions, CniContext } from './cni.ts';
import { delList, throwAll } from './del-list.ts';
import type { NetworkConfigList } from './network-config.ts';
import type { AttachmentId } from './plugin.ts';
import { isAtLeast } from './versions.ts';

/** See {@link Cni.gc}. Goes on after failures. */
export async function gc(
  context: CniContext,
  list: NetworkConfigList,
  { validAttachments, signal }: CallOptions & { validAttachments: readonly AttachmentId[] },
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
  const isValid = ({ containerID, ifName }: AttachmentId) =>
    validAttachments.some((valid) => valid.containerID === containerID && valid.ifName === ifName);
  for (const attachment of context.cache.list()) {
    if (attachment.network !== list.name || isValid(attachment)) continue;
    await attempt(() => delList(context, list, attachment, { signal }));
  }
  if (isAtLeast(list.cniVersion, '1.1.0')) {
    for (const plugin of list.plugins) {
      await attempt(() => callPlugin(context, 'GC', { list, plugin, validAttachments, signal }));
    }
  }
  throwAll(failures);
}
