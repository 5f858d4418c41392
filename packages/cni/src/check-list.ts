import type { Attachment } from './attachment.ts';
import { resultOf } from './cache-file.ts';
import { callPlugin, validateAttachment } from './call-plugin.ts';
import type { CallOptions, CniContext } from './context.ts';
import { CniError } from './errors.ts';
import type { NetworkConfigList } from './network-config.ts';
import { isAtLeast } from './versions.ts';

/** See {@link Cni.checkList}. */
export async function checkList(
  context: CniContext,
  list: NetworkConfigList,
  attachment: Attachment,
  { signal }: CallOptions = {},
): Promise<void> {
  validateAttachment(list, attachment);
  if (!isAtLeast(list.cniVersion, '0.4.0')) {
    throw new CniError(
      'incompatible-version',
      `configuration version ${JSON.stringify(list.cniVersion)} does not support the CHECK command`,
    );
  }
  if (list.disableCheck) return;
  const entry = context.cache.read(list.name, attachment);
  const prevResult = entry === undefined ? undefined : resultOf(entry);
  if (entry === undefined || prevResult === undefined) {
    const { containerID, ifName } = attachment;
    const subject = `check container ${JSON.stringify(containerID)} in network ${JSON.stringify(list.name)}`;
    throw new CniError('not-attached', `${subject}: ${JSON.stringify(ifName)} is not attached`);
  }
  const asAdded: Attachment = { ...entry.attachment, ...attachment };
  for (const plugin of list.plugins) {
    await callPlugin(context, 'CHECK', { list, plugin, attachment: asAdded, prevResult, signal });
  }
}
