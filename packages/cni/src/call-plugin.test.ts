import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Attachment } from './attachment.ts';
import type { CniError } from './errors.ts';
import { parseNetworkConfigList } from './parse-network-config.ts';
import { PluginLab, rejection } from './testing.ts';

const pod: Attachment = { containerID: 'c1', netns: '/run/netns/x', ifName: 'eth0' };
const one = { plugins: [{ type: 'one' }] };
const two = { plugins: [{ type: 'one' }, { type: 'two' }] };

describe('what a plugin gets', () => {
  test('every key and number of the configuration as it was written, byte by byte', async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    const keys =
      '"big":12345678901234567890,"f":1.0,"e":1e3,"E":1E+2,"neg":-0,"deep":{"list":[0.10,[1.50]]},"__proto__":{"a":1},"s":"\\ud800\\u0000é"';
    const list = parseNetworkConfigList(
      `{"cniVersion":"1.1.0","name":"lab","plugins":[{"type":"one",${keys}}]}`,
    );
    const cni = lab.cni();
    await cni.addList(list, pod);
    await cni.checkList(list, pod);
    await cni.delList(list, pod);
    await cni.gc(list, { validAttachments: [] });
    await cni.status(list);
    for (const command of ['ADD', 'CHECK', 'DEL', 'GC', 'STATUS']) {
      const got = lab.stdinText('one', command);
      assert.ok(got.startsWith(`{"type":"one",${keys}`), `${command}: ${got}`);
    }
  });

  test('numbers in capability arguments that came through the cache', async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    const list = lab.list({ plugins: [{ type: 'one', capabilities: { x: true } }] });
    const cni = lab.cni();
    await cni.addList(list, { ...pod, capabilityArgs: { x: 1 } });
    const path = lab.cacheFile('c1');
    writeFileSync(path, readFileSync(path, 'utf8').replace('{"x":1}', '{"x":12345678901234567890}'));
    await cni.delList(list, pod);
    assert.match(lab.stdinText('one', 'DEL'), /"runtimeConfig":\{"x":12345678901234567890\}/);
  });

  test('the environment of this process with the CNI variables replaced', async () => {
    using lab = new PluginLab();
    lab.plugin('one', 'env | grep ^CNI_ | sort >"$dir/env"; echo "$AMPHIPOD_X" >"$dir/x"; echo "{}"');
    process.env.CNI_IFNAME = 'wrong';
    process.env.AMPHIPOD_X = 'kept';
    try {
      await lab.cni().addList(lab.list(one), {
        ...pod,
        args: [
          ['A', 'B'],
          ['C', 'D'],
        ],
      });
    } finally {
      delete process.env.CNI_IFNAME;
      delete process.env.AMPHIPOD_X;
    }
    assert.equal(
      readFileSync(join(lab.dir, 'env'), 'utf8'),
      `CNI_ARGS=A=B;C=D\nCNI_COMMAND=ADD\nCNI_CONTAINERID=c1\nCNI_IFNAME=eth0\nCNI_NETNS=/run/netns/x\nCNI_PATH=${join(lab.dir, 'bin')}\n`,
    );
    assert.equal(readFileSync(join(lab.dir, 'x'), 'utf8'), 'kept\n');
  });

  test('arguments that CNI_ARGS cannot carry are refused', async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    for (const args of [
      ['A;B', 'C'],
      ['A=B', 'C'],
      ['A', 'B;C=D'],
      ['A', 'B\0'],
    ] as [string, string][]) {
      const error = await rejection<CniError>(lab.cni().addList(lab.list(one), { ...pod, args: [args] }));
      assert.equal(error.code, 'invalid-environment');
    }
    const error = await rejection<CniError>(lab.cni().addList(lab.list(one), { ...pod, netns: 'a\0b' }));
    assert.equal(error.code, 'invalid-environment');
    assert.deepEqual(lab.calls(), []);
  });

  test('the version of an old result is that of the configuration', async () => {
    using lab = new PluginLab();
    lab.plugin('one', 'echo "{\\"ip4\\":{\\"ip\\":\\"10.1.2.3/24\\"}}"');
    lab.plugin('two', 'echo "{}"');
    const list = lab.list(two, '0.2.0');
    assert.deepEqual(await lab.cni().addList(list, pod), {});
    assert.deepEqual(lab.stdin('two', 'ADD').prevResult, {
      cniVersion: '0.2.0',
      ip4: { ip: '10.1.2.3/24' },
    });
  });

  test('no version in the list is 0.1.0', async () => {
    using lab = new PluginLab();
    lab.plugin('one', 'echo "{\\"ip4\\":{\\"ip\\":\\"10.1.2.3/24\\"}}"');
    const list = parseNetworkConfigList('{"name":"lab","plugins":[{"type":"one"}]}');
    assert.deepEqual(await lab.cni().addList(list, pod), { ips: [{ address: '10.1.2.3/24' }] });
    assert.equal(lab.stdin('one', 'ADD').cniVersion, '0.1.0');
  });
});
