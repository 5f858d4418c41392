import { formatArgs } from './args.ts';
import type { Attachment } from './attachment.ts';
import type { CniContext } from './context.ts';
import { CniError, toCniError } from './errors.ts';
import type { PluginFile } from './invoke/find-plugin.ts';
import type { InvokeRequest } from './invoke/invoker.ts';
import { isJsonObject } from './json.ts';
import {
  validateArgs,
  validateContainerId,
  validateIfName,
  validateNetns,
  validateNetworkName,
} from './names.ts';
import type { NetworkConfigList } from './network-config.ts';
import type { AttachmentId, CniCommand, NetConf, PluginConfig } from './plugin.ts';
import type { Result } from './result.ts';
import { withTimeLimit } from './with-time-limit.ts';

export interface PluginCall {
  list: NetworkConfigList;
  plugin: PluginConfig;
  /** Where the caller has found it; else it is looked for. */
  file?: PluginFile | undefined;
  /** Absent for STATUS and GC. */
  attachment?: Attachment;
  prevResult?: Result | undefined;
  validAttachments?: readonly AttachmentId[];
  signal?: AbortSignal | undefined;
}

/** Calls one plugin of a list within its time limit; errors name it. @throws CniError; the signal's reason */
export async function callPlugin(
  context: CniContext,
  command: Exclude<CniCommand, 'VERSION'>,
  { list, plugin, file, attachment, prevResult, validAttachments, signal }: PluginCall,
): Promise<Result> {
  const request: InvokeRequest = {
    file,
    containerID: attachment?.containerID ?? '',
    netns: attachment?.netns ?? '',
    ifName: attachment?.ifName ?? '',
    args: formatArgs(attachment?.args ?? []),
    config: netConfOf(list, plugin, attachment?.capabilityArgs),
    ...(prevResult !== undefined && { prevResult }),
    ...(validAttachments !== undefined && { validAttachments }),
  };
  const { timeoutMs, calls, onCall } = context;
  const { containerID, ifName } = request;
  const noted = { plugin: plugin.type, command, containerID, ifName, startedAt: performance.now() };
  calls.add(noted);
  const end = (error?: CniError) => {
    const times = { startMs: noted.startedAt, endMs: performance.now() };
    onCall({ plugin: plugin.type, command, ...times, ...(error !== undefined && { error }) });
  };
  try {
    const result = await withTimeLimit(
      (limited) => context.invoker.call(plugin.type, command, request, limited),
      {
        timeoutMs,
        signal,
      },
    );
    end();
    return result;
  } catch (error) {
    const failure = pluginFailure(plugin.type, command, toCniError(error));
    end(failure);
    signal?.throwIfAborted();
    throw failure;
  } finally {
    calls.delete(noted);
  }
}

/** The failure of a plugin in libcni's words, with its code. */
export function pluginFailure(type: string, command: CniCommand, cause: CniError): CniError {
  const verb = command === 'DEL' ? 'delete' : command.toLowerCase();
  const where = `plugin type=${JSON.stringify(type)} failed (${verb})`;
  return new CniError(
    cause.code === 'plugin-specific' ? cause.number : cause.code,
    `${where}: ${cause.msg}`,
    { details: cause.details, plugin: type, cause },
  );
}

/** The plugin's configuration with what belongs to the list, and the arguments for capabilities that it declares. */
function netConfOf(
  list: NetworkConfigList,
  plugin: PluginConfig,
  capabilityArgs: Record<string, unknown> = {},
): NetConf {
  const { capabilities, ...rest } = plugin;
  const declared = isJsonObject(capabilities) ? capabilities : {};
  const runtimeConfig = Object.fromEntries(
    Object.entries(capabilityArgs).filter(([name]) => declared[name] === true),
  );
  return {
    ...rest,
    type: plugin.type,
    cniVersion: list.cniVersion,
    name: list.name,
    ...(Object.keys(runtimeConfig).length > 0 && { runtimeConfig }),
  };
}

/** @throws CniError naming the field */
export function validateAttachment(list: NetworkConfigList, attachment: Attachment): void {
  validateNetworkName(list.name);
  validateContainerId(attachment.containerID);
  validateIfName(attachment.ifName);
  validateNetns(attachment.netns);
  validateArgs(attachment.args ?? []);
}
