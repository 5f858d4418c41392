import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PluginLab } from '../testing.ts';
import { complete, conf, errorOf, probe, run, verbs } from '../testing-probe.ts';

const script = 'echo "log of $CNI_COMMAND" >&2; echo "{\\"ips\\":[{\\"address\\":\\"10.1.2.3/24\\"}]}"';

test('same environment, stdin to the byte, stderr passed on', async () => {
  using lab = new PluginLab();
  lab.plugin('ipam', script);
  const bin = join(lab.dir, 'bin');
  for (const verb of verbs) {
    const plugin = probe((command, request) => request.delegate('ipam', command));
    const stdin = `{ "cniVersion": "1.1.0", "name": "net", "type": "x", "n": 1.0,
      "prevResult": {"ips": [{"address": "10.9.9.9/8", "unknown": 1}]}, "cni.dev/valid-attachments": [] }`;
    const env = { CNI_COMMAND: verb, ...complete, CNI_PATH: bin, CNI_ARGS: 'A=B' };
    const { status, stderr } = await run(plugin, env, stdin);
    assert.deepEqual([status, stderr], [0, `log of ${verb}\n`]);
    assert.equal(lab.stdinText('ipam', verb), stdin);
    const [call] = lab.calls();
    const hasAttachment = verb !== 'GC' && verb !== 'STATUS';
    assert.equal(call, hasAttachment ? `ipam ${verb} c1 eth0 A=B` : `ipam ${verb}   A=B`);
  }
});

test('only the verb of the call, and DEL', async () => {
  using lab = new PluginLab();
  lab.plugin('ipam', script);
  for (const verb of verbs) {
    for (const other of verbs) {
      const plugin = probe((_command, request) => request.delegate('ipam', other));
      const env = { CNI_COMMAND: verb, ...complete, CNI_PATH: join(lab.dir, 'bin') };
      if (other === verb || other === 'DEL') assert.equal((await run(plugin, env)).status, 0);
      else assert.deepEqual(await errorOf(plugin, env), [999, `CNI_COMMAND is not ${other}`]);
    }
  }
});

test('never the plugin itself, which would not end', async () => {
  using lab = new PluginLab();
  lab.plugin('probe');
  const env = { CNI_COMMAND: 'ADD', ...complete, CNI_PATH: join(lab.dir, 'bin') };
  const plugin = probe((command, request) => request.delegate('probe', command));
  assert.deepEqual(await errorOf(plugin, env), [7, 'plugin "probe" is its own delegate']);
  assert.deepEqual(lab.calls(), []);
});

test('its error is the error; one that is missing or no name is named', async () => {
  using lab = new PluginLab();
  lab.plugin('ipam', 'echo "{\\"code\\":11,\\"msg\\":\\"busy\\"}"; exit 1');
  const env = { CNI_COMMAND: 'ADD', ...complete, CNI_PATH: join(lab.dir, 'bin') };
  const failure = (type: string) =>
    errorOf(
      probe((_c, request) => request.delegate(type, 'ADD')),
      env,
    );
  assert.deepEqual(await failure('ipam'), [11, 'busy']);
  assert.deepEqual(await failure('none'), [
    999,
    `failed to find plugin "none" in path [${join(lab.dir, 'bin')}]`,
  ]);
  assert.deepEqual(await failure('../ipam'), [7, 'invalid plugin name: ../ipam']);
  assert.equal(readFileSync(join(lab.dir, 'ipam.ADD'), 'utf8'), JSON.stringify(conf));
});
