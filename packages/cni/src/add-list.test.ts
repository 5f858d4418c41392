import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Attachment } from './attachment.ts';
import type { CniError } from './errors.ts';
import { PluginLab, rejection } from './testing.ts';

const pod: Attachment = { containerID: 'c1', netns: '/run/netns/x', ifName: 'eth0' };
const two = { plugins: [{ type: 'one' }, { type: 'two' }] };

test('ADD: in order, each with the result of the one before; cached in the format of libcni', async () => {
  using lab = new PluginLab();
  lab.plugin('one');
  lab.plugin('two', 'echo "{\\"cniVersion\\":\\"1.0.0\\",\\"ips\\":[{\\"address\\":\\"10.9.9.9/24\\"}]}"');
  const list = lab.list(two);
  const result = await lab.cni().addList(list, { ...pod, args: [['K', 'V']], capabilityArgs: { mac: 'x' } });
  assert.deepEqual(result, { ips: [{ address: '10.9.9.9/24' }] });
  assert.deepEqual(lab.calls(), ['one ADD c1 eth0 K=V', 'two ADD c1 eth0 K=V']);
  assert.equal(lab.stdin('one', 'ADD').prevResult, undefined);
  assert.deepEqual(lab.stdin('two', 'ADD'), {
    type: 'two',
    cniVersion: '1.1.0',
    name: 'lab',
    prevResult: { cniVersion: '1.1.0', ips: [{ address: '10.1.2.3/24' }] },
  });
  const file = JSON.parse(readFileSync(lab.cacheFile('c1'), 'utf8')) as Record<string, unknown>;
  assert.deepEqual(file, {
    kind: 'cniCacheV1',
    containerId: 'c1',
    config: Buffer.from(list.bytes).toString('base64'),
    ifName: 'eth0',
    networkName: 'lab',
    netns: '/run/netns/x',
    cniArgs: [['K', 'V']],
    capabilityArgs: { mac: 'x' },
    result: { cniVersion: '1.1.0', ips: [{ address: '10.9.9.9/24' }] },
  });
  assert.equal(statSync(lab.cacheFile('c1')).mode & 0o777, 0o600);
  assert.equal(statSync(join(lab.dir, 'cache', 'results')).mode & 0o777, 0o700);
});

test('ADD: a plugin gets the arguments of the capabilities that it declares, not the declaration', async () => {
  using lab = new PluginLab();
  lab.plugin('one');
  lab.plugin('two');
  const list = lab.list({
    plugins: [{ type: 'one', capabilities: { mac: true, ips: false }, big: '@' }, { type: 'two' }],
  });
  await lab.cni().addList(list, { ...pod, capabilityArgs: { mac: 'm', ips: ['1.2.3.4'], other: 1 } });
  assert.deepEqual(lab.stdin('one', 'ADD').runtimeConfig, { mac: 'm' });
  assert.equal(lab.stdin('one', 'ADD').capabilities, undefined);
  assert.equal(lab.stdin('two', 'ADD').runtimeConfig, undefined);
});

test('ADD: big integers and odd numbers reach the plugin as they were written', async () => {
  using lab = new PluginLab();
  lab.plugin('one');
  const { parseNetworkConfigList } = await import('./parse-network-config.ts');
  const list = parseNetworkConfigList(
    '{"cniVersion":"1.1.0","name":"lab","plugins":[{"type":"one","id":12345678901234567890,"f":1.50}]}',
  );
  await lab.cni().addList(list, pod);
  assert.match(readFileSync(join(lab.dir, 'one.ADD'), 'utf8'), /"id":12345678901234567890,"f":1\.50/);
});

test('ADD: a failure: DEL of the whole list, the original error, no cache (CNI-04)', async () => {
  using lab = new PluginLab();
  lab.plugin('one');
  lab.plugin(
    'two',
    '[ $CNI_COMMAND = DEL ] || { echo "{\\"code\\":123,\\"msg\\":\\"no luck\\",\\"details\\":\\"d\\"}"; exit 1; }',
  );
  const error = await rejection<CniError>(lab.cni().addList(lab.list(two), pod));
  assert.equal(error.message, 'plugin type="two" failed (add): no luck; d');
  assert.deepEqual([error.code, error.number, error.plugin], ['plugin-specific', 123, 'two']);
  assert.deepEqual(lab.calls(), ['one ADD c1 eth0', 'two ADD c1 eth0', 'two DEL c1 eth0', 'one DEL c1 eth0']);
  assert.equal(existsSync(lab.cacheFile('c1')), false);
  assert.deepEqual(lab.warnings, []);
});

test('ADD: a clean-up that fails too leaves a record; DEL and GC finish it', async () => {
  using lab = new PluginLab();
  lab.plugin('one');
  lab.plugin('two', '[ -e "$dir/mended" ] || { echo broken >&2; exit 1; }');
  const cni = lab.cni();
  const list = lab.list(two);
  const error = await rejection<CniError>(cni.addList(list, pod));
  assert.equal(error.message, 'plugin type="two" failed (add): netplugin failed: broken');
  assert.match(
    lab.warnings.join(),
    /clean up after failed attachment of "c1": plugin type="two" failed \(delete\)/,
  );
  assert.deepEqual(
    cni.cachedAttachments().map(({ containerID }) => containerID),
    ['c1'],
  );
  assert.equal(cni.cachedResult('lab', pod), undefined);
  writeFileSync(join(lab.dir, 'mended'), '');
  lab.calls();
  await cni.gc(list, { validAttachments: [] });
  assert.deepEqual(lab.calls(), ['two DEL c1 eth0', 'one DEL c1 eth0', 'one GC', 'two GC']);
  assert.deepEqual(cni.cachedAttachments(), []);
});

test('ADD: a second ADD is refused and calls nothing (CNI-03)', async () => {
  using lab = new PluginLab();
  lab.plugin('one');
  const cni = lab.cni();
  const list = lab.list({ plugins: [{ type: 'one' }] });
  await cni.addList(list, pod);
  lab.calls();
  const error = await rejection<CniError>(cni.addList(list, pod));
  assert.deepEqual([error.code, lab.calls()], ['already-attached', []]);
  await cni.addList(list, { ...pod, ifName: 'net1' });
});

test('ADD: a plugin that hangs is killed with its children, named, and cleaned up after (CNI-15)', async () => {
  using lab = new PluginLab();
  lab.plugin('one', '[ $CNI_COMMAND = DEL ] && exit 0; sleep 300 & echo $! >"$dir/child"; wait');
  const start = performance.now();
  const error = await rejection<CniError>(
    lab.cni({ timeoutMs: 1500 }).addList(lab.list({ plugins: [{ type: 'one' }] }), pod),
  );
  assert.deepEqual(
    [error.code, error.message],
    ['plugin-timeout', 'plugin type="one" failed (add): no answer within 1500 ms, killed'],
  );
  assert.ok(performance.now() - start < 10_000);
  assert.deepEqual(lab.calls(), ['one ADD c1 eth0', 'one DEL c1 eth0']);
  const child = readFileSync(join(lab.dir, 'child'), 'utf8').trim();
  const state = existsSync(`/proc/${child}/stat`)
    ? readFileSync(`/proc/${child}/stat`, 'utf8').split(' ')[2]
    : 'gone';
  assert.match(state!, /Z|gone/);
});

test("ADD: an abort: the signal's reason is thrown, DEL has time of its own (CNI-05)", async () => {
  using lab = new PluginLab();
  lab.plugin('one', '[ $CNI_COMMAND = DEL ] && exit 0; sleep 300');
  const controller = new AbortController();
  const adding = rejection(
    lab.cni().addList(lab.list({ plugins: [{ type: 'one' }] }), pod, { signal: controller.signal }),
  );
  while (!existsSync(join(lab.dir, 'one.ADD'))) await new Promise((resolve) => setTimeout(resolve, 10));
  controller.abort(new Error('caller left'));
  assert.equal((await adding).message, 'caller left');
  assert.deepEqual(lab.calls(), ['one ADD c1 eth0', 'one DEL c1 eth0']);
});

test('ADD: a plugin that leaves a child with its output open does not hold the call up', async () => {
  using lab = new PluginLab();
  lab.plugin('one', 'sleep 20 & echo "{}"');
  const start = performance.now();
  await lab.cni().addList(lab.list({ plugins: [{ type: 'one' }] }), pod);
  assert.ok(performance.now() - start < 10_000);
});

test('ADD: wrong attachments are refused before anything is run', async () => {
  using lab = new PluginLab();
  lab.plugin('one');
  const list = lab.list({ plugins: [{ type: 'one' }] });
  const cases: [Partial<Attachment>, string][] = [
    [{ containerID: '' }, 'missing containerID'],
    [{ containerID: 'a/b' }, 'invalid characters in containerID; a/b'],
    [{ ifName: '' }, 'interface name is empty'],
    [
      { ifName: 'sixteen-letters!' },
      'interface name is too long; interface name should be less than 16 characters',
    ],
    [{ ifName: '..' }, 'interface name is . or ..'],
    [{ ifName: 'a:b' }, 'interface name contains / or : or whitespace characters'],
    [{ netns: '' }, 'attach to network "lab": netns is empty'],
  ];
  for (const [change, message] of cases) {
    assert.equal((await rejection(lab.cni().addList(list, { ...pod, ...change }))).message, message);
  }
  assert.deepEqual(lab.calls(), []);
});

test('ADD: a plugin that is missing is found out before the first one is run', async () => {
  using lab = new PluginLab();
  lab.plugin('one');
  const list = lab.list({ plugins: [{ type: 'one' }, { type: 'none' }] });
  const error = await rejection<CniError>(lab.cni().addList(list, pod));
  assert.equal(error.code, 'plugin-not-found');
  assert.match(
    error.message,
    /^plugin type="none" failed \(add\): failed to find plugin "none" in path \[.*\/bin\]$/,
  );
  assert.deepEqual(lab.calls(), []);
});
