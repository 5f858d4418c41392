/**
 * Generated configurations and environments through every plugin of the project, as a program would get them, on a host that
 * refuses everything: never a crash, never a hang, always an error with a number of the specification, or a result. The variables
 * are those of fuzz-parsers.test.ts.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BoundPlugin, findPlugin, runPlugin } from '@amphipod/cni';
import { builtinPlugins, pluginBinDir } from '@amphipod/plugins';
import { asNobody, assertCniError, fuzz } from './harness.ts';
import { type Json, mutate, textOf } from './mutate.ts';
import type { Random } from './random.ts';
import { Refused, refusingHost } from './refusing-host.ts';
import { keysOfSources, pluginConfigs, pluginTypes, seedLists } from './seeds.ts';

const nobody = asNobody();
const vocabulary = keysOfSources();
const configs = pluginConfigs(await seedLists());
const plugins = builtinPlugins(refusingHost);
const verbs = ['ADD', 'ADD', 'ADD', 'DEL', 'CHECK', 'STATUS', 'GC', 'VERSION', 'BOGUS', ''];
const versions = ['1.1.0', '1.1.0', '1.0.0', '0.4.0', '0.3.1', '0.2.0', '', '9.0.0'];
const odd = ['', 'a\0b', '\ud800', '../x', 'x'.repeat(5000), 'é'];

for (const type of pluginTypes) {
  fuzz(`plugin ${type}`, 0.25 / pluginTypes.length, async (random, note) => {
    const seedConfig = { ...(random.pick(configs.get(type)!) as object), cniVersion: random.pick(versions) };
    const stdin = textOf(mutate(seedConfig as Json, random, vocabulary), random);
    await runGenerated(type, stdin, { random, note });
  });
}

fuzz('resolv.conf', 0.01, async (random, note) => {
  const resolvConf = join(nobody.dir, 'resolv.conf');
  const words = [
    'nameserver',
    'search',
    'domain',
    'options',
    '#',
    ';',
    '192.0.2.1',
    'a.test',
    ' ',
    '\t',
    '\n',
    '\r\n',
    '\0',
    '\ud800',
    'x'.repeat(9000),
  ];
  const text = Array.from(
    { length: random.below(60) },
    () => random.pick(words) + random.pick([' ', '', '\n']),
  ).join('');
  writeFileSync(resolvConf, text);
  const config = {
    cniVersion: '1.1.0',
    name: 'fuzz',
    type: 'x',
    ipam: { type: 'host-local', subnet: '10.1.0.0/16', resolvConf },
  };
  note(text);
  await runGenerated('host-local', JSON.stringify(config), { random, note: () => {} });
});

async function runGenerated(
  type: string,
  stdin: string,
  { random, note }: { random: Random; note: (input: string) => void },
): Promise<void> {
  const env = environment(random);
  note(`${JSON.stringify(env)} ${stdin}`);
  const thrown: unknown[] = [];
  const plugin = watched(plugins.resolve(type, findPlugin(type, [pluginBinDir]))!, thrown);
  let stdout = '';
  const io = {
    env,
    readStdin: () => stdin,
    writeStdout: (text: string) => {
      stdout += text;
    },
    writeStderr: () => {},
  };
  const status = await runPlugin(plugin, { io, inProcess: plugins });
  for (const error of thrown) assertExpected(error);
  if (status === 0) {
    assert.ok(
      stdout === '' || typeof (JSON.parse(stdout) as { cniVersion: unknown }).cniVersion === 'string',
    );
    return;
  }
  const { code, msg } = JSON.parse(stdout) as { code: number; msg: string };
  assert.equal(typeof msg, 'string');
  assertCniError({ name: 'CniError', number: code, message: msg }, { allowInternal: thrown.length > 0 });
}

/** The plugin, with what it throws noted before it becomes text. */
function watched(plugin: BoundPlugin, thrown: unknown[]): BoundPlugin {
  return {
    ...plugin,
    async call(command, request) {
      try {
        return await plugin.call(command, request);
      } catch (error) {
        thrown.push(error);
        throw error;
      }
    },
  };
}

/** Errors of plugins, of the host, and of the operating system, which refuses too. */
function assertExpected(error: unknown): void {
  if (error instanceof Refused || typeof (error as NodeJS.ErrnoException).syscall === 'string') return;
  const { code } = error as NodeJS.ErrnoException;
  if (typeof code === 'string' && /^(E[A-Z]|ERR_INVALID_ARG_VALUE)/.test(code)) return;
  assertCniError(error, { allowInternal: true });
}

function environment(random: Random): Record<string, string> {
  const value = (usual: string) => (random.chance(0.04) ? random.pick(odd) : usual);
  return {
    CNI_COMMAND: random.pick(verbs),
    CNI_CONTAINERID: value('c1'),
    CNI_NETNS: value(random.pick(['/no/such/netns', '/no/such/netns', '/etc/passwd', ''])),
    CNI_IFNAME: value('eth0'),
    CNI_PATH: random.pick(['/no/such/bin', pluginBinDir, `/no/such/bin:${pluginBinDir}`]),
    CNI_ARGS: value(
      random.pick([
        '',
        'IgnoreUnknown=1;K8S_POD_NAME=x',
        'IP=10.1.2.3;IgnoreUnknown=true',
        'MAC=02:00:00:00:00:09;IgnoreUnknown=1',
      ]),
    ),
  };
}
