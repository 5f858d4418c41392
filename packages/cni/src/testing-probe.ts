import assert from 'node:assert/strict';
import type { BoundPlugin, CniCommand, PluginRequest } from './plugin.ts';
import type { Result } from './result.ts';
import { runPlugin } from './skel.ts';
import { specVersions } from './versions.ts';

/** Of the environment. */
export type Variables = Record<string, string | undefined>;
/** Those that call a plugin. */
export type Verb = Exclude<CniCommand, 'VERSION'>;

export const verbs: Verb[] = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS'];
export const complete: Variables = {
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/run/netns/x',
  CNI_IFNAME: 'eth0',
  CNI_PATH: '/no/such/bin',
};
export const conf = { cniVersion: '1.1.0', name: 'net', type: 'probe' };
export const result: Result = { ips: [{ address: '10.1.2.3/24' }] };

/** For tests: a plugin that notes its calls. */
export interface Probe extends BoundPlugin {
  calls: { command: Verb; request: PluginRequest }[];
}

/** The plugin; `call` is what it does. */
export function probe(
  call: (command: Verb, request: PluginRequest) => Promise<Result> = async () => result,
  versions: readonly string[] = specVersions,
): Probe {
  const calls: Probe['calls'] = [];
  return {
    type: 'probe',
    about: 'CNI probe plugin',
    versions,
    calls,
    async call(command, request) {
      calls.push({ command, request });
      return await call(command, request);
    },
  };
}

/** Runs a plugin as a program; `stdin` is an object, a text or the error of reading it. */
export async function run(plugin: BoundPlugin, env: Variables, stdin: unknown = conf) {
  let stdout = '';
  let stderr = '';
  const status = await runPlugin(plugin, {
    io: {
      env,
      readStdin: () => {
        if (stdin instanceof Error) throw stdin;
        return typeof stdin === 'string' ? stdin : JSON.stringify(stdin);
      },
      writeStdout: (text) => {
        stdout += text;
      },
      writeStderr: (text) => {
        stderr += text;
      },
    },
  });
  return { status, stdout, stderr };
}

/** Code, message and details; the exit code is 1 and stdout holds nothing but the error. */
export async function errorOf(plugin: BoundPlugin, env: Variables, stdin?: unknown) {
  const { status, stdout } = await run(plugin, env, stdin);
  assert.equal(status, 1);
  const { code, msg, details } = JSON.parse(stdout) as { code: number; msg: string; details?: string };
  return [code, msg, ...(details === undefined ? [] : [details])];
}
