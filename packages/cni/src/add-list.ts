import type { Attachment } from './attachment.ts';
import { callPlugin, pluginFailure, validateAttachment } from './call-plugin.ts';
import type { CallOptions, CniContext } from './context.ts';
import { delList } from './del-list.ts';
import { CniError, toCniError } from './errors.ts';
import type { PluginFile } from './invoke/find-plugin.ts';
import type { NetworkConfigList } from './network-config.ts';
import type { Result } from './result.ts';

/** See {@link Cni.addList}. */
export async function addList(
  context: CniContext,
  list: NetworkConfigList,
  attachment: Attachment,
  { signal }: CallOptions = {},
): Promise<Result> {
  validateAttachment(list, attachment);
  if (attachment.netns === '') {
    throw new CniError('invalid-environment', `attach to network "${list.name}": netns is empty`);
  }
  signal?.throwIfAborted();
  // A plugin that is missing is found out before the first one makes something.
  const files = findPlugins(context, list);
  await expectNew(context, list, attachment);
  try {
    const result = await addPlugins(context, list, { attachment, files, signal });
    context.cache.write(list, attachment, result);
    return result;
  } catch (error) {
    await cleanUp(context, list, attachment);
    throw error;
  }
}

/** See {@link Cni.findPlugins}. */
export function findPlugins({ invoker }: CniContext, list: NetworkConfigList): PluginFile[] {
  return list.plugins.map(({ type }) => {
    try {
      return invoker.find(type);
    } catch (error) {
      throw pluginFailure(type, 'ADD', toCniError(error));
    }
  });
}

async function addPlugins(
  context: CniContext,
  list: NetworkConfigList,
  {
    attachment,
    files,
    signal,
  }: { attachment: Attachment; files: PluginFile[]; signal: AbortSignal | undefined },
): Promise<Result> {
  let prevResult: Result | undefined;
  for (const [i, plugin] of list.plugins.entries()) {
    const call = { list, plugin, file: files[i], attachment, prevResult, signal };
    prevResult = await callPlugin(context, 'ADD', call);
  }
  return prevResult ?? {};
}

/** Refuses a second ADD, which would harm the first one; takes away what a failed one left. */
async function expectNew(
  context: CniContext,
  list: NetworkConfigList,
  attachment: Attachment,
): Promise<void> {
  const { containerID, ifName } = attachment;
  const subject = `attach container "${containerID}" to network "${list.name}"`;
  let hasResult: boolean;
  try {
    const entry = context.cache.read(list.name, attachment);
    if (entry === undefined) return;
    hasResult = entry.rawResult !== undefined && entry.rawResult !== null;
  } catch (cause) {
    const why = (cause as Error).message;
    throw new CniError(
      'already-attached',
      `${subject}: unknown whether "${ifName}" is attached, detach it first`,
      {
        details: why,
        cause,
      },
    );
  }
  if (hasResult) {
    throw new CniError('already-attached', `${subject}: "${ifName}" is attached already, detach it first`);
  }
  await delList(context, list, attachment, { signal: AbortSignal.timeout(context.cleanupTimeoutMs) });
}

/** DEL with time of its own: the caller's may be over (field case CNI-05). What fails here is left to DEL or GC. */
async function cleanUp(context: CniContext, list: NetworkConfigList, attachment: Attachment): Promise<void> {
  try {
    await delList(context, list, attachment, { signal: AbortSignal.timeout(context.cleanupTimeoutMs) });
  } catch (error) {
    context.onWarning(
      `clean up after failed attachment of "${attachment.containerID}": ${(error as Error).message}`,
    );
    leaveRecord(context, list, attachment);
  }
}

/** So that a later DEL or GC knows of what is left. Its own failure must not hide the one that the caller is to see. */
function leaveRecord(context: CniContext, list: NetworkConfigList, attachment: Attachment): void {
  try {
    context.cache.write(list, attachment);
  } catch (error) {
    context.onWarning((error as Error).message);
  }
}
