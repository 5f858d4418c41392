import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Attachment } from './attachment.ts';
import type { CniError } from './errors.ts';
import { PluginLab, rejection } from './testing.ts';

const pod: Attachment = { containerID: 'c1', netns: '/run/netns/x', ifName: 'eth0' };
const two = { plugins: [{ type: 'one' }, { type: 'two' }] };

describe('ADD', () => {
  test('in order, each with the result of the one before; cached in the format of libcni', async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    lab.plugin('two', 'echo "{\\"cniVersion\\":\\"1.0.0\\",\\"ips\\":[{\\"address\\":\\"10.9.9.9/24\\"}]}"');
    const list = lab.list(two);
    const result = await lab
      .cni()
      .addList(list, { ...pod, args: [['K', 'V']], capabilityArgs: { mac: 'x' } });
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

  test('a plugin gets the arguments of the capabilities that it declares, not the declaration', async () => {
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

  test('big integers and odd numbers reach the plugin as they were written', async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    const { parseNetworkConfigList } = await import('./parse-network-config.ts');
    const list = parseNetworkConfigList(
      '{"cniVersion":"1.1.0","name":"lab","plugins":[{"type":"one","id":12345678901234567890,"f":1.50}]}',
    );
    await lab.cni().addList(list, pod);
    assert.match(readFileSync(join(lab.dir, 'one.ADD'), 'utf8'), /"id":12345678901234567890,"f":1\.50/);
  });

  test('a failure: DEL of the whole list, the original error, no cache (CNI-04)', async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    lab.plugin(
      'two',
      '[ $CNI_COMMAND = DEL ] || { echo "{\\"code\\":123,\\"msg\\":\\"no luck\\",\\"details\\":\\"d\\"}"; exit 1; }',
    );
    const error = await rejection<CniError>(lab.cni().addList(lab.list(two), pod));
    assert.equal(error.message, 'plugin type="two" failed (add): no luck; d');
    assert.deepEqual([error.code, error.number, error.plugin], ['plugin-specific', 123, 'two']);
    assert.deepEqual(lab.calls(), [
      'one ADD c1 eth0',
      'two ADD c1 eth0',
      'two DEL c1 eth0',
      'one DEL c1 eth0',
    ]);
    assert.equal(existsSync(lab.cacheFile('c1')), false);
    assert.deepEqual(lab.warnings, []);
  });

  test('a clean-up that fails too leaves a record; DEL and GC finish it', async () => {
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

  test('a second ADD is refused and calls nothing (CNI-03)', async () => {
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

  test('a plugin that hangs is killed with its children, named, and cleaned up after (CNI-15)', async () => {
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

  test("an abort: the signal's reason is thrown, DEL has time of its own (CNI-05)", async () => {
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

  test('a plugin that leaves a child with its output open does not hold the call up', async () => {
    using lab = new PluginLab();
    lab.plugin('one', 'sleep 20 & echo "{}"');
    const start = performance.now();
    await lab.cni().addList(lab.list({ plugins: [{ type: 'one' }] }), pod);
    assert.ok(performance.now() - start < 10_000);
  });

  test('wrong attachments are refused before anything is run', async () => {
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

  test('a plugin that is missing is found out before the first one is run', async () => {
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
});

describe('DEL', () => {
  test('in reverse, with the result, on through failures; the cache stays until all is well', async () => {
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

  test('uses configuration and arguments of the ADD', async () => {
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
    test(`a cache file that is ${what} (CNI-10)`, async () => {
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

  test('no result for versions before 0.4.0', async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    const list = lab.list({ plugins: [{ type: 'one' }] }, '0.3.1');
    const cni = lab.cni();
    await cni.addList(list, pod);
    await cni.delList(list, pod);
    assert.equal(lab.stdin('one', 'DEL').prevResult, undefined);
  });
});

describe('CHECK, STATUS, GC, validation', () => {
  test('CHECK: versions, disableCheck, first error', async () => {
    using lab = new PluginLab();
    lab.plugin('one', '[ $CNI_COMMAND = ADD ] && echo "{}"; [ $CNI_COMMAND != CHECK ]');
    lab.plugin('two', 'echo "{}"');
    const cni = lab.cni();
    const error = await rejection<CniError>(cni.checkList(lab.list(two, '0.3.1'), pod));
    assert.equal(error.message, 'configuration version "0.3.1" does not support the CHECK command');
    await cni.checkList(lab.list({ ...two, disableCheck: true }), pod);
    assert.deepEqual(lab.calls(), []);
    await cni.addList(lab.list(two), pod);
    lab.calls();
    await rejection(cni.checkList(lab.list(two), pod));
    assert.deepEqual(lab.calls(), ['one CHECK c1 eth0']);
  });

  test('STATUS is not for versions before 1.1.0', async () => {
    using lab = new PluginLab();
    lab.plugin('one', 'echo "{\\"code\\":50,\\"msg\\":\\"not now\\"}"; exit 1');
    const cni = lab.cni();
    await cni.status(lab.list({ plugins: [{ type: 'one' }] }, '1.0.0'));
    const error = await rejection<CniError>(cni.status(lab.list({ plugins: [{ type: 'one' }] })));
    assert.deepEqual(
      [error.code, error.message],
      ['plugin-not-available', 'plugin type="one" failed (status): not now'],
    );
  });

  test("GC: DEL for what is stale, then GC with what is valid; others' networks are left alone", async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    const cni = lab.cni();
    const list = lab.list({ plugins: [{ type: 'one' }] });
    for (const containerID of ['a', 'b']) await cni.addList(list, { ...pod, containerID });
    await cni.addList({ ...list, name: 'other' }, pod);
    lab.calls();
    await cni.gc(list, { validAttachments: [{ containerID: 'b', ifName: 'eth0' }] });
    assert.deepEqual(lab.calls(), ['one DEL a eth0', 'one GC']);
    const valid = [{ containerID: 'b', ifname: 'eth0' }];
    assert.deepEqual(lab.stdin('one', 'GC')['cni.dev/valid-attachments'], valid);
    assert.deepEqual(lab.stdin('one', 'GC')['cni.dev/attachments'], valid);
    assert.deepEqual(
      cni.cachedAttachments().map(({ network, containerID }) => `${network} ${containerID}`),
      ['lab b', 'other c1'],
    );
    await cni.gc(lab.list({ plugins: [{ type: 'one' }], disableGC: true }), { validAttachments: [] });
    assert.deepEqual(lab.calls(), []);
  });

  test('validation finds plugins, versions and capabilities', async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    const cni = lab.cni();
    assert.deepEqual(
      await cni.validateList(
        lab.list({ plugins: [{ type: 'one', capabilities: { mac: true, ips: false } }] }),
      ),
      ['mac'],
    );
    const old = await rejection(cni.validateList(lab.list({ plugins: [{ type: 'one' }] }, '0.3.1')));
    assert.equal(old.message, 'plugin one does not support config version "0.3.1"');
    assert.match((await rejection(cni.validateList(lab.list(two)))).message, /failed to find plugin "two"/);
  });
});

test('operations on one container wait for one another, others do not, GC is alone', async () => {
  using lab = new PluginLab();
  lab.plugin(
    'one',
    'echo "$CNI_COMMAND $CNI_CONTAINERID start" >>"$dir/log"; sleep 0.3; echo "$CNI_COMMAND $CNI_CONTAINERID end" >>"$dir/log"; echo "{}"',
  );
  const cni = lab.cni();
  const list = lab.list({ plugins: [{ type: 'one' }] });
  await Promise.all([
    cni.addList(list, pod),
    cni.delList(list, pod),
    cni.addList(list, { ...pod, containerID: 'c2' }),
    cni.gc(list, { validAttachments: [{ containerID: 'c2', ifName: 'eth0' }] }),
    cni.delList(list, { ...pod, containerID: 'c2' }),
  ]);
  const log = readFileSync(join(lab.dir, 'log'), 'utf8').trim().split('\n');
  const at = (line: string) => log.findIndex((other) => other.trim() === line);
  assert.ok(at('ADD c1 end') < at('DEL c1 start'));
  assert.ok(at('ADD c2 start') < at('ADD c1 end'));
  assert.ok(at('DEL c1 end') < at('GC  start'));
  assert.ok(at('GC  end') < at('DEL c2 start'));
});
