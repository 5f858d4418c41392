import { readFileSync, statSync } from 'node:fs';
import { decodeResult } from './decode-result.ts';
import { encodeResult } from './encode-result.ts';
import { CniError, toCniError } from './errors.ts';
import { checkVersions } from './invoke/check-versions.ts';
import { createInvoker } from './invoke/invoker.ts';
import { describeJson, isJsonObject, parseJson, stringifyJson } from './json.ts';
import { validateContainerId, validateIfName, validateNetworkName, validatePluginType } from './names.ts';
import type {
  AttachmentId,
  BoundPlugin,
  CniCommand,
  InProcessPlugins,
  NetConf,
  PluginRequest,
} from './plugin.ts';
import { defaultVersion, newestVersion } from './versions.ts';

/** What a plugin process has to do with the world. */
export interface SkelIo {
  env: Record<string, string | undefined>;
  readStdin(): string | Promise<string>;
  writeStdout(text: string): void;
  writeStderr(text: string): void;
}

/** The environment and the standard streams of this process. */
export const processIo: SkelIo = {
  env: process.env,
  readStdin: () => readFileSync(0, 'utf8'),
  writeStdout: (text) => process.stdout.write(text),
  writeStderr: (text) => process.stderr.write(text),
};

export interface SkelOptions {
  io?: SkelIo;
  /** Plugins that this one can delegate to without starting a process. */
  inProcess?: InProcessPlugins;
  /** Ends the call early, when whoever asked for it is gone. */
  signal?: AbortSignal;
}

type Verb = Exclude<CniCommand, 'VERSION'>;
type Variable = 'CNI_COMMAND' | 'CNI_CONTAINERID' | 'CNI_NETNS' | 'CNI_IFNAME' | 'CNI_PATH';

const attachmentVerbs: readonly string[] = ['ADD', 'DEL', 'CHECK'];
const verbs: readonly string[] = [...attachmentVerbs, 'GC', 'STATUS'];

/** In the order in which the reference looks at them, with the verbs that need them. */
const requirements: { name: Variable; verbs: readonly string[]; validate?: (value: string) => void }[] = [
  { name: 'CNI_CONTAINERID', verbs: attachmentVerbs, validate: validateContainerId },
  { name: 'CNI_NETNS', verbs: ['ADD', 'CHECK'] },
  { name: 'CNI_IFNAME', verbs: attachmentVerbs, validate: validateIfName },
  { name: 'CNI_PATH', verbs },
];

/**
 * Runs a plugin as a program: turns CNI_* variables and stdin into a request, and the result or the error into stdout
 * and the exit code, which is returned. The checks, their order and their codes are those of the reference's skeleton.
 */
export async function runPlugin(plugin: BoundPlugin, options: SkelOptions = {}): Promise<number> {
  const { io = processIo, inProcess, signal = new AbortController().signal } = options;
  let cniVersion: string | undefined;
  try {
    const command = io.env.CNI_COMMAND ?? '';
    if (command === '') return printAbout(plugin, io);
    checkVariables(command, io.env);
    if (command === 'VERSION') {
      printJson(io, { cniVersion: newestVersion, supportedVersions: plugin.versions });
      return 0;
    }
    const { config, prevResult, validAttachments } = readConfig(await readInput(io));
    if (!verbs.includes(command)) {
      throw new CniError('invalid-environment', `unknown CNI_COMMAND: ${command}`);
    }
    cniVersion = config.cniVersion;
    checkVersions(plugin, command as Verb, cniVersion);
    const request = makeRequest(
      command as Verb,
      { config, prevResult: decodePrevious(prevResult, cniVersion), validAttachments },
      { io, inProcess, signal },
    );
    if (command === 'ADD') checkNetns(request.netns, io.env.CNI_NETNS_OVERRIDE ?? '');
    const result = await plugin.call(command as Verb, request);
    if (command === 'ADD') printJson(io, encodeResult(result, cniVersion));
    return 0;
  } catch (error) {
    printJson(io, toCniError(error).toWire(cniVersion));
    return 1;
  }
}

function printJson(io: SkelIo, value: unknown): void {
  io.writeStdout(stringifyJson(value, 4));
}

/** For people who start the program by hand. */
function printAbout({ about, versions }: BoundPlugin, io: SkelIo): number {
  io.writeStderr(`${about}\nCNI protocol versions supported: ${versions.join(', ')}\n`);
  return 0;
}

function checkVariables(command: string, env: SkelIo['env']): void {
  const missing: string[] = [];
  for (const { name, verbs: needed, validate } of requirements) {
    if (!needed.includes(command)) continue;
    const value = env[name] ?? '';
    if (value === '') missing.push(name);
    else validate?.(value);
  }
  if (missing.length > 0) {
    throw new CniError('invalid-environment', `required env variables [${missing.join(',')}] missing`);
  }
}

interface Input {
  config: NetConf;
  prevResult: unknown;
  validAttachments: readonly AttachmentId[] | undefined;
}

async function readInput(io: SkelIo): Promise<string> {
  try {
    return await io.readStdin();
  } catch (cause) {
    throw new CniError('io-failure', `error reading from stdin: ${(cause as Error).message}`, { cause });
  }
}

function readConfig(text: string): Input {
  let object: unknown;
  try {
    object = parseJson(text);
  } catch (cause) {
    const why = text.trim() === '' ? 'unexpected end of JSON input' : (cause as Error).message;
    throw new CniError('decoding-failure', `error unmarshall network config: ${why}`, { cause });
  }
  if (!isJsonObject(object)) {
    throw new CniError(
      'decoding-failure',
      `error unmarshall network config: got ${describeJson(object)}, want an object`,
    );
  }
  const { name = '', cniVersion = defaultVersion, type = '', prevResult, ...rest } = object;
  for (const [key, value] of Object.entries({ name, cniVersion, type })) {
    if (typeof value === 'string') continue;
    throw new CniError(
      'decoding-failure',
      `error unmarshall network config: key "${key}": got ${describeJson(value)}, want a string`,
    );
  }
  validateNetworkName(name as string);
  const config = {
    ...rest,
    name,
    type,
    cniVersion: cniVersion === '' ? defaultVersion : cniVersion,
  } as NetConf;
  const valid = rest['cni.dev/valid-attachments'] ?? rest['cni.dev/attachments'];
  return { config, prevResult, validAttachments: decodeValid(valid) };
}

function decodeValid(value: unknown): readonly AttachmentId[] | undefined {
  if (!Array.isArray(value)) return undefined;
  return value.map((item, i) => {
    const { containerID, ifname } = isJsonObject(item) ? item : {};
    if (typeof containerID !== 'string' || typeof ifname !== 'string') {
      throw new CniError(
        'decoding-failure',
        `decode "cni.dev/valid-attachments"[${i}]: got ${describeJson(item)}, want containerID and ifname`,
      );
    }
    return { containerID, ifName: ifname };
  });
}

function decodePrevious(prevResult: unknown, cniVersion: string): PluginRequest['prevResult'] {
  if (prevResult === undefined || prevResult === null) return undefined;
  try {
    return decodeResult(prevResult, cniVersion);
  } catch (cause) {
    throw new CniError('decoding-failure', `could not parse prevResult: ${(cause as Error).message}`, {
      cause,
    });
  }
}

function makeRequest(
  command: Verb,
  input: {
    config: NetConf;
    prevResult: PluginRequest['prevResult'];
    validAttachments: Input['validAttachments'];
  },
  { io, inProcess, signal }: { io: SkelIo; inProcess: InProcessPlugins | undefined; signal: AbortSignal },
): PluginRequest {
  const { env } = io;
  const pluginDirs = (env.CNI_PATH ?? '').split(':');
  const invoker = createInvoker({ pluginDirs, inProcess, env, ownGroup: false });
  const isAttachment = attachmentVerbs.includes(command);
  const request = {
    containerID: isAttachment ? (env.CNI_CONTAINERID ?? '') : '',
    netns: isAttachment ? (env.CNI_NETNS ?? '') : '',
    ifName: isAttachment ? (env.CNI_IFNAME ?? '') : '',
    args: env.CNI_ARGS ?? '',
    ...input,
  };
  return {
    ...request,
    signal,
    delegate: (type, delegateCommand) => {
      validatePluginType(type);
      return invoker.call(type, delegateCommand as Verb, request, signal);
    },
  };
}

/** A runtime that gives the host's own namespace would have its host reconfigured. */
function checkNetns(netns: string, override: string): void {
  if (['TRUE', '1'].includes(override.toUpperCase())) return;
  const own = statSync('/proc/self/ns/net');
  const theirs = statSync(netns, { throwIfNoEntry: false });
  if (theirs !== undefined && theirs.dev === own.dev && theirs.ino === own.ino) {
    throw new CniError('invalid-netns', "plugin's netns and netns from CNI_NETNS should not be the same");
  }
}
