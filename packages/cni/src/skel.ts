import { readFileSync } from 'node:fs';
import { duplicateKeys } from './duplicate-keys.ts';
import { CniError, toCniError } from './errors.ts';
import { callBound, encodeOrUndo, ownNetnsTest } from './invoke/call-bound.ts';
import { checkVersions } from './invoke/check-versions.ts';
import { delegateOf } from './invoke/delegate.ts';
import { createInvoker, delegateRequest } from './invoke/invoker.ts';
import { stringifyJson } from './json.ts';
import { validateContainerId, validateIfName, validatePluginType } from './names.ts';
import type { BoundPlugin, CniCommand, InProcessPlugins, PluginRequest } from './plugin.ts';
import { decodePrevious, decodeValidAttachments, expectVersion, readStdin } from './skel-input.ts';
import { newestVersion } from './versions.ts';

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
  { name: 'CNI_COMMAND', verbs: [''] },
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
    if (command === '' && plugin.about !== '') return printAbout(plugin, io);
    checkVariables(command, io.env);
    if (command === 'VERSION') {
      const { versions } = plugin;
      printJson(io, { cniVersion: versions.at(-1) ?? newestVersion, supportedVersions: versions });
      return 0;
    }
    const input = await readStdin(io);
    if (!isVerb(command)) throw new CniError('invalid-environment', `unknown CNI_COMMAND: ${command}`);
    const config = expectVersion(input);
    cniVersion = config.cniVersion;
    checkVersions(plugin, command, cniVersion);
    const isOwnNetns = ownNetnsTest(io.env);
    const request = makeRequest(
      { command, type: plugin.type },
      {
        config,
        prevResult: decodePrevious(input.prevResult, cniVersion),
        validAttachments: command === 'GC' ? decodeValidAttachments(config) : undefined,
        stdin: input.text,
      },
      { io, inProcess, signal, isOwnNetns },
    );
    const result = await callBound(plugin, command, { request, isOwnNetns });
    if (command === 'ADD') printJson(io, await encodeOrUndo(plugin, request, result));
    return 0;
  } catch (error) {
    printJson(io, toCniError(error).toWire(cniVersion));
    return 1;
  }
}

function isVerb(command: string): command is Verb {
  return verbs.includes(command);
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

type RequestInput = Pick<PluginRequest, 'config' | 'prevResult' | 'validAttachments'> & { stdin: string };

function makeRequest(
  { command, type: ownType }: { command: Verb; type: string },
  { stdin, ...input }: RequestInput,
  {
    io,
    inProcess,
    signal,
    isOwnNetns,
  }: {
    io: SkelIo;
    inProcess: InProcessPlugins | undefined;
    signal: AbortSignal;
    isOwnNetns: (netns: string) => boolean;
  },
): PluginRequest {
  const { env } = io;
  const invoker = createInvoker({
    pluginDirs: (env.CNI_PATH ?? '').split(':'),
    inProcess,
    env,
    ownGroup: false,
    isOwnNetns,
    onStderr: (_type, text) => io.writeStderr(text),
  });
  const callers = [ownType];
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
    duplicateKeys: () => duplicateKeys(stdin),
    warn: (message) => io.writeStderr(`${message}\n`),
    delegate: delegateOf({ command, callers }, async (type, verb, config) => {
      validatePluginType(type);
      const told = delegateRequest({ ...request, stdin }, config);
      return await invoker.call(type, verb, { ...told, callers }, signal);
    }),
  };
}
