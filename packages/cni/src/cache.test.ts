import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Attachment } from './attachment.ts';
import type { CniError } from './errors.ts';
import { loadNetworkConfigLists } from './load-network-config-lists.ts';
import { parseNetworkConfig, parseNetworkConfigList } from './parse-network-config.ts';
import { PluginLab, rejection } from './testing.ts';

const pod: Attachment = { containerID: 'c1', netns: '/run/netns/x', ifName: 'eth0' };
const one = { plugins: [{ type: 'one' }] };

/** What cnitool of libcni 1.3.0 left for the network "golden" of the plugins "first" and "second". */
const goldenFile = new URL('../testdata/libcni-1.3.0-cache.json', import.meta.url);
const golden = readFileSync(goldenFile, 'utf8');
const goldenPod: Attachment = {
  containerID: 'cnitool-277d583275450b09c54c',
  netns: '/run/netns/golden',
  ifName: 'eth0',
};
const goldenConfig = Buffer.from((JSON.parse(golden) as { config: string }).config, 'base64').toString();

function withGolden(): PluginLab {
  const lab = new PluginLab();
  for (const type of ['first', 'second']) lab.plugin(type);
  mkdirSync(join(lab.dir, 'cache', 'results'), { recursive: true });
  writeFileSync(join(lab.dir, 'cache', 'results', `golden-${goldenPod.containerID}-eth0`), golden);
  return lab;
}

describe('files of libcni', () => {
  test('CHECK and DEL of what libcni attached: its result, arguments and capabilities', async () => {
    using lab = withGolden();
    const cni = lab.cni();
    const list = parseNetworkConfigList(goldenConfig);
    await cni.checkList(list, goldenPod);
    await cni.delList(list, goldenPod);
    const args = 'IgnoreUnknown=1;K8S_POD_NAME=web-0';
    assert.deepEqual(
      lab.calls(),
      ['first CHECK', 'second CHECK', 'second DEL', 'first DEL'].map(
        (call) => `${call} ${goldenPod.containerID} eth0 ${args}`,
      ),
    );
    const { result, capabilityArgs } = JSON.parse(golden) as Record<string, unknown>;
    for (const command of ['CHECK', 'DEL']) {
      assert.deepEqual(lab.stdin('first', command).prevResult, result);
      assert.deepEqual(lab.stdin('first', command).runtimeConfig, capabilityArgs);
    }
    assert.match(lab.stdinText('first', 'DEL'), /"id":12345678901234567890,"ratio":1\.50/);
    assert.deepEqual(cni.cachedAttachments(), []);
  });

  test('what we write has the fields and values of what libcni writes', async () => {
    using lab = new PluginLab();
    const { result, cniArgs, capabilityArgs } = JSON.parse(golden) as {
      result: object;
      cniArgs: [string, string][];
      capabilityArgs: Record<string, unknown>;
    };
    for (const type of ['first', 'second']) lab.plugin(type, `echo '${JSON.stringify(result)}'`);
    const attachment = { ...goldenPod, args: cniArgs, capabilityArgs };
    await lab.cni().addList(parseNetworkConfigList(goldenConfig), attachment);
    const path = join(lab.dir, 'cache', 'results', `golden-${goldenPod.containerID}-eth0`);
    assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')), JSON.parse(golden));
  });

  test('the attachments, by container; names with - do not confuse', async () => {
    using lab = withGolden();
    lab.plugin('one');
    const cni = lab.cni();
    for (const containerID of ['a', 'a-b', 'b']) {
      await cni.addList(lab.list({ ...one, name: 'net-a' }), { ...pod, containerID, ifName: 'b-eth0' });
    }
    const ids = (containerID?: string) =>
      cni.cachedAttachments(containerID).map((found) => found.containerID);
    assert.deepEqual(ids(), [goldenPod.containerID, 'a-b', 'a', 'b']);
    assert.deepEqual([ids('a'), ids('a-b'), ids('none')], [['a'], ['a-b'], []]);
    const [found] = cni.cachedAttachments(goldenPod.containerID);
    assert.deepEqual(
      [found!.network, found!.netns, found!.list?.plugins.map(({ type }) => type)],
      ['golden', '/run/netns/golden', ['first', 'second']],
    );
  });

  test('an old file holds the result alone', async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    const cni = lab.cni();
    const list = lab.list(one);
    mkdirSync(join(lab.dir, 'cache', 'results'), { recursive: true });
    writeFileSync(
      lab.cacheFile('c1'),
      '{"cniVersion":"0.3.1","ips":[{"version":"4","address":"10.9.0.5/24"}]}',
    );
    assert.deepEqual(cni.cachedResult('lab', pod), { ips: [{ address: '10.9.0.5/24' }] });
    assert.equal(cni.cachedConfig('lab', pod), undefined);
    assert.deepEqual(cni.cachedAttachments(), []);
    await cni.delList(list, pod);
    assert.deepEqual(lab.stdin('one', 'DEL').prevResult, {
      cniVersion: '1.1.0',
      ips: [{ address: '10.9.0.5/24' }],
    });
    assert.equal(existsSync(lab.cacheFile('c1')), false);
  });

  test('a file that AddNetwork of libcni wrote for a single plugin', async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    const cni = lab.cni();
    const single = '{"cniVersion":"1.1.0","name":"lab","type":"one","key":"as it was"}';
    await cni.addList(parseNetworkConfig(single), pod);
    const path = lab.cacheFile('c1');
    const file = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(path, JSON.stringify({ ...file, config: Buffer.from(single).toString('base64') }));
    await cni.delList(lab.list({ plugins: [{ type: 'one', key: 'new' }] }), pod);
    assert.equal(lab.stdin('one', 'DEL').key, 'as it was');
  });

  test("libcni does not cache plugins of the network's folder: DEL takes those of now", async () => {
    using lab = new PluginLab();
    for (const type of ['one', 'two']) lab.plugin(type);
    const confDir = join(lab.dir, 'net.d');
    mkdirSync(join(confDir, 'lab'), { recursive: true });
    const text = '{"cniVersion":"1.1.0","name":"lab","plugins":[{"type":"one"}]}';
    writeFileSync(join(confDir, '10-lab.conflist'), text);
    writeFileSync(join(confDir, 'lab', '10-two.conf'), '{"type":"two"}');
    const list = loadNetworkConfigLists(confDir).lists[0]!;
    const cni = lab.cni();
    await cni.addList(list, pod);
    const path = lab.cacheFile('c1');
    const file = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(path, JSON.stringify({ ...file, config: Buffer.from(text).toString('base64') }));
    lab.calls();
    await cni.delList(list, pod);
    assert.deepEqual(lab.calls(), ['two DEL c1 eth0', 'one DEL c1 eth0']);
  });
});

describe('writing', () => {
  test('files appear by rename and nothing else is left (CNI-10)', async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    const cni = lab.cni();
    await cni.addList(lab.list(one), pod);
    await cni.addList(lab.list(one), { ...pod, containerID: 'gone-at-once' });
    await cni.delList(lab.list(one), { ...pod, containerID: 'gone-at-once' });
    await cni.synced();
    assert.deepEqual(readdirSync(join(lab.dir, 'cache', 'results')), ['lab-c1-eth0']);
  });

  test('a directory that cannot be written: the error, and DEL of what was attached', async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    writeFileSync(join(lab.dir, 'cache'), 'a file');
    const error = await rejection<CniError>(lab.cni().addList(lab.list(one), pod));
    assert.equal(error.code, 'io-failure');
    assert.match(error.message, /^write cache file ".*lab-c1-eth0": /);
    assert.deepEqual(lab.calls(), ['one ADD c1 eth0', 'one DEL c1 eth0']);
  });

  test('GC takes away what a killed process was writing, not what is being written', async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    const dir = join(lab.dir, 'cache', 'results');
    mkdirSync(dir, { recursive: true });
    // No process has the last pid: it is beyond the kernel's limit of 2^22.
    const [old, fresh, orphan] = ['.1-a-0.tmp', `.${process.pid}-b-0.tmp`, '.4194305-c-0.tmp'];
    const write = () => {
      for (const name of [old, fresh, orphan]) writeFileSync(join(dir, name), '{');
      utimesSync(join(dir, old), 1, 1);
    };
    write();
    await lab.cni().gc(lab.list(one), { validAttachments: [] });
    assert.deepEqual(readdirSync(dir), [fresh]);
    write();
    lab.cni().removeLeftovers();
    assert.deepEqual(readdirSync(dir), [fresh]);
  });
});

test('arguments in a damaged file are not passed on; the rest of DEL is done (CNI-10)', async () => {
  for (const [key, value] of [
    ['cniArgs', [5]],
    ['cniArgs', 'A=B'],
    ['netns', {}],
  ] as const) {
    using lab = new PluginLab();
    lab.plugin('one');
    const cni = lab.cni();
    await cni.addList(lab.list(one), pod);
    const path = lab.cacheFile('c1');
    writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), [key]: value }));
    await cni.delList(lab.list(one), pod);
    assert.equal(lab.calls().at(-1), 'one DEL c1 eth0');
    assert.match(lab.warnings.join(), /detaching without it/);
  }
});
