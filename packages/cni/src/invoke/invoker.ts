import { decodeResult } from '../decode-result.ts';
import { encodeResult } from '../encode-result.ts';
import { CniError } from '../errors.ts';
import { isJsonObject, parseJson, stringifyJson } from '../json.ts';
import type { CniCommand, InProcessPlugins, NetConf, PluginRequest } from '../plugin.ts';
import type { Result } from '../result.ts';
import { newestVersion } from '../versions.ts';
import { callBound, encodeOrUndo, ownNetnsTest } from './call-bound.ts';
import { checkVersions } from './check-versions.ts';
import { delegateOf } from './delegate.ts';
import { execPlugin } from './exec-plugin.ts';
import { findPlugin, type PluginFile } from './find-plugin.ts';

/** A call without what the invoker itself adds. */
export interface InvokeRequest extends Omit<PluginRequest, 'delegate' | 'signal' | 'warn'> {
  /** The text that the request came in; a delegate that is executed gets it as it is. */
  stdin?: string;
  /** The plugin's file, by who has looked for it already. */
  file?: PluginFile | undefined;
  /** Types of the plugins that delegate this call, the outermost first. */
  callers?: readonly string[];
}

export interface InvokerOptions {
  pluginDirs: readonly string[];
  inProcess?: InProcessPlugins | undefined;
  /** What executed plugins get beside the CNI_* variables. Default: this process's own environment. */
  env?: NodeJS.ProcessEnv | undefined;
  /** False inside of a plugin: its delegates are to die with it. */
  ownGroup: boolean;
  /** Paths that plugins of this process are not to work on: see ownNetnsTest, which is the default. */
  isOwnNetns?: (netns: string) => boolean;
  /** Gets what an executed plugin wrote to stderr, and what one in process warns of. */
  onStderr?: ((type: string, text: string) => void) | undefined;
}

/** Calls plugins by type: in process where possible, else by executing the file that is found. */
export interface Invoker {
  /** @throws CniError plugin-not-found */
  find(type: string): PluginFile;
  /** Only ADD gives a result with something in it. @throws CniError; the signal's reason */
  call(
    type: string,
    command: Exclude<CniCommand, 'VERSION'>,
    request: InvokeRequest,
    signal: AbortSignal,
  ): Promise<Result>;
  /** Versions that a plugin supports. */
  versions(type: string, signal: AbortSignal): Promise<string[]>;
}

export function createInvoker(options: InvokerOptions): Invoker {
  const { pluginDirs, inProcess, env, ownGroup, isOwnNetns = ownNetnsTest({}), onStderr } = options;
  const find = (type: string) => findPlugin(type, pluginDirs);
  const call: Invoker['call'] = async (type, command, { file = find(type), ...request }, signal) => {
    const bound = inProcess?.resolve(type, file);
    if (bound !== undefined) {
      checkVersions(bound, command, request.config.cniVersion);
      const { stdin: _stdin, callers: before = [], ...values } = request;
      const callers = [...before, type];
      const delegate = delegateOf({ command, callers }, (delegateType, verb, config) =>
        call(delegateType, verb, { ...delegateRequest(request, config), callers }, signal),
      );
      const warn = onStderr && ((message: string) => onStderr(type, `${message}\n`));
      const boundRequest = { ...values, delegate, signal, ...(warn !== undefined && { warn }) };
      const result = await callBound(bound, command, { request: boundRequest, isOwnNetns });
      const { cniVersion } = request.config;
      // No more comes back than that version can say, as from a process.
      if (command !== 'ADD' || cniVersion === newestVersion) return result;
      return decodeResult(await encodeOrUndo(bound, boundRequest, result), cniVersion);
    }
    const stdout = await execPlugin(file.path, {
      variables: variablesOf(command, request, pluginDirs),
      stdin: request.stdin ?? stdinOf(command, request),
      env,
      signal,
      ownGroup,
      onStderr: onStderr && ((text) => onStderr(type, text)),
    });
    return command === 'ADD' ? decodeStdout(stdout, request.config.cniVersion) : {};
  };
  return {
    find,
    call,
    async versions(type, signal) {
      const file = find(type);
      const bound = inProcess?.resolve(type, file);
      if (bound !== undefined) return [...bound.versions];
      return await execVersions(file.path, { pluginDirs, env, signal, ownGroup });
    },
  };
}

/** What a delegate is told; the caller's text does not say what a configuration of its own says. */
export function delegateRequest(request: InvokeRequest, config: NetConf | undefined): InvokeRequest {
  if (config === undefined) return request;
  const { stdin: _stdin, duplicateKeys: _duplicateKeys, ...rest } = request;
  return { ...rest, config };
}

function variablesOf(
  command: CniCommand,
  request: Pick<PluginRequest, 'containerID' | 'netns' | 'ifName' | 'args'>,
  pluginDirs: readonly string[],
): Record<string, string> {
  return {
    CNI_COMMAND: command,
    CNI_CONTAINERID: request.containerID,
    CNI_NETNS: request.netns,
    CNI_ARGS: request.args,
    CNI_IFNAME: request.ifName,
    CNI_PATH: pluginDirs.join(':'),
  };
}

function stdinOf(command: CniCommand, { config, prevResult, validAttachments }: InvokeRequest): string {
  const valid = validAttachments?.map(({ containerID, ifName }) => ({ containerID, ifname: ifName }));
  return stringifyJson({
    ...config,
    ...(prevResult !== undefined && { prevResult: encodeResult(prevResult, config.cniVersion) }),
    // The second name is that of libcni before the specification had one.
    ...(command === 'GC' &&
      valid !== undefined && { 'cni.dev/valid-attachments': valid, 'cni.dev/attachments': valid }),
  });
}

function decodeStdout(stdout: string, version: string): Result {
  return decodeResult(parseOutput(stdout, 'decode result'), version);
}

function parseOutput(stdout: string, what: string): unknown {
  try {
    return parseJson(stdout);
  } catch (cause) {
    const why = stdout.trim() === '' ? 'unexpected end of JSON input' : (cause as Error).message;
    throw new CniError('decoding-failure', `${what}: ${why}`, { cause });
  }
}

async function execVersions(
  file: string,
  {
    pluginDirs,
    ...options
  }: Pick<InvokerOptions, 'pluginDirs' | 'env' | 'ownGroup'> & { signal: AbortSignal },
): Promise<string[]> {
  // Very old plugins look at all variables before they look at the command.
  const dummies = { containerID: 'dummy', netns: 'dummy', ifName: 'dummy', args: '' };
  const variables = variablesOf('VERSION', dummies, pluginDirs);
  let stdout: string;
  try {
    stdout = await execPlugin(file, {
      variables,
      stdin: stringifyJson({ cniVersion: newestVersion }),
      ...options,
    });
  } catch (error) {
    if (error instanceof CniError && error.msg === 'unknown CNI_COMMAND: VERSION') return ['0.1.0'];
    throw error;
  }
  const value = parseOutput(stdout, 'decode version info');
  if (!isJsonObject(value) || typeof value.cniVersion !== 'string' || value.cniVersion === '') {
    throw new CniError('decoding-failure', 'decode version info: missing field cniVersion');
  }
  const { supportedVersions } = value;
  if (Array.isArray(supportedVersions) && supportedVersions.length > 0) {
    return supportedVersions.filter((text) => typeof text === 'string');
  }
  if (value.cniVersion === '0.2.0') return ['0.1.0', '0.2.0'];
  throw new CniError('decoding-failure', 'decode version info: missing field supportedVersions');
}
