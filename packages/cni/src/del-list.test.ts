import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Attachment } from './attachment.ts';
import type { CniError } from './errors.ts';
import { PluginLab, rejection } from './testing.ts';

const pod: Attachment = { containerID: 'c1', netns: '/run/netns/x', ifName: 'eth0' };
const one = { plugins: [{ type: 'one' }] };
const two = { plugins: [{ type: 'one' }, { type: 'two' }] };

test('DEL: in reverse, with the result, on through failures; the cache stays until all is well', async () => {
  using lab = new PluginLab();
  lab.plugin('one', '[ $CNI_COMMAND = ADD ] && echo "{}"; [ ! -e "$dir/broken" ]');
  lab.plugin(
    'two',
    '[ $CNI_COMMAND = ADD ] && echo "{\\"ips\\":[{\\"address\\":\\"10.1.2.3/24\\"}]}"; [ ! -e "$dir/broken" ]',
  );
  const cni = lab.cni();
  const list = lab.list(two);
  await cni.addList(list, pod);
  lab.calls();
  writeFileSync(join(lab.dir, 'broken'), '');
  const error = await rejection<CniError>(cni.delList(list, pod));
  assert.equal(error.errors.length, 2);
  assert.match(error.message, /type="two" failed \(delete\).*type="one" failed \(delete\)/);
  assert.deepEqual(lab.calls(), ['two DEL c1 eth0', 'one DEL c1 eth0']);
  assert.deepEqual((lab.stdin('one', 'DEL').prevResult as { ips: unknown }).ips, [
    { address: '10.1.2.3/24' },
  ]);
  assert.ok(existsSync(lab.cacheFile('c1')));
  rmSync(join(lab.dir, 'broken'));
  await cni.delList(list, pod);
  assert.equal(existsSync(lab.cacheFile('c1')), false);
  await cni.delList(list, pod);
});

test('DEL: uses configuration and arguments of the ADD', async () => {
  using lab = new PluginLab();
  lab.plugin('one');
  const cni = lab.cni();
  await cni.addList(lab.list({ plugins: [{ type: 'one', key: 'old' }] }), { ...pod, args: [['A', 'B']] });
  await cni.delList(lab.list({ plugins: [{ type: 'one', key: 'new' }, { type: 'none' }] }), {
    ...pod,
    netns: '',
  });
  assert.equal(lab.stdin('one', 'DEL').key, 'old');
  assert.equal(lab.calls().at(-1), 'one DEL c1 eth0 A=B');
});

const damages: Record<string, (path: string) => void> = {
  empty: (path) => writeFileSync(path, ''),
  half: (path) => writeFileSync(path, readFileSync(path).subarray(0, 50)),
  'an empty object': (path) => writeFileSync(path, '{}'),
  "another container's": (path) => writeFileSync(path, readFileSync(path, 'utf8').replace('"c1"', '"c2"')),
  'a bad result': (path) =>
    writeFileSync(
      path,
      readFileSync(path, 'utf8').replace(/"result":.*/, '"result":{"cniVersion":"7.0.0"}}'),
    ),
  'a directory': (path) => {
    rmSync(path);
    mkdirSync(join(path, 'x'), { recursive: true });
  },
};
for (const [what, damage] of Object.entries(damages)) {
  test(`DEL: a cache file that is ${what} (CNI-10)`, async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    const cni = lab.cni();
    const list = lab.list({ plugins: [{ type: 'one' }] });
    await cni.addList(list, pod);
    damage(lab.cacheFile('c1'));
    await rejection(cni.checkList(list, pod));
    await cni.delList(list, pod);
    assert.equal(lab.stdin('one', 'DEL').prevResult, undefined);
    assert.match(lab.warnings.join(), /detaching without it/);
    assert.equal(existsSync(lab.cacheFile('c1')), false);
    await cni.addList(list, pod);
  });
}

test('DEL: no result for versions before 0.4.0', async () => {
  using lab = new PluginLab();
  lab.plugin('one');
  const list = lab.list({ plugins: [{ type: 'one' }] }, '0.3.1');
  const cni = lab.cni();
  await cni.addList(list, pod);
  await cni.delList(list, pod);
  assert.equal(lab.stdin('one', 'DEL').prevResult, undefined);
});

test('DEL: a plugin that is not installed any more: an error, the others are called (CNI-04)', async () => {
  using lab = new PluginLab();
  lab.plugin('one');
  lab.plugin('two');
  const cni = lab.cni();
  await cni.addList(lab.list(two), pod);
  lab.calls();
  lab.remove('two');
  const error = await rejection<CniError>(cni.delList(lab.list(two), pod));
  assert.match(error.message, /^plugin type="two" failed \(delete\): failed to find plugin "two"/);
  assert.deepEqual(lab.calls(), ['one DEL c1 eth0']);
  assert.equal(cni.cachedAttachments().length, 1);
  lab.plugin('two');
  await cni.delList(lab.list(two), pod);
  assert.deepEqual(cni.cachedAttachments(), []);
});

test('DEL: a path that is no namespace any more is passed on as none (CNI-18)', async () => {
  using lab = new PluginLab();
  lab.plugin('one', 'echo "$CNI_COMMAND=$CNI_NETNS" >>"$dir/netns"; echo "{}"');
  const cni = lab.cni();
  const list = lab.list(one);
  const plainFile = join(lab.dir, 'pin');
  writeFileSync(plainFile, '');
  for (const [containerID, netns] of [
    ['a', plainFile],
    ['b', '/no/such/netns'],
    ['c', '/proc/1/ns/net'],
  ] as const) {
    await cni.addList(list, { ...pod, containerID, netns });
    await cni.delList(list, { ...pod, containerID, netns });
  }
  const dels = readFileSync(join(lab.dir, 'netns'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('DEL'));
  assert.deepEqual(dels, ['DEL=', 'DEL=/no/such/netns', 'DEL=/proc/1/ns/net']);
});

test('DEL: cleaning up after a failed ADD has time of its own, and DEL that fails again keeps the record (CNI-05)', async () => {
  using lab = new PluginLab();
  lab.plugin('one', '[ $CNI_COMMAND = DEL ] && sleep 1; [ -e "$dir/mended" ] && exit 0; sleep 300');
  const cni = lab.cni({ timeoutMs: 1500, cleanupTimeoutMs: 300 });
  const list = lab.list(one);
  const signal = AbortSignal.timeout(200);
  const error = await rejection(cni.addList(list, pod, { signal }));
  assert.equal(error, signal.reason);
  assert.deepEqual(lab.calls(), ['one ADD c1 eth0', 'one DEL c1 eth0']);
  assert.match(lab.warnings.join(), /clean up after failed attachment of "c1"/);
  assert.equal(cni.cachedAttachments().length, 1);
  writeFileSync(join(lab.dir, 'mended'), '');
  await cni.delList(list, pod);
  assert.deepEqual(cni.cachedAttachments(), []);
});
