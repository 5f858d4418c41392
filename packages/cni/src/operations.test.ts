import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Attachment } from './attachment.ts';
import type { CniError } from './errors.ts';
import { parseNetworkConfigList } from './parse-network-config.ts';
import type { PluginRequest } from './plugin.ts';
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

describe('CHECK', () => {
  test('in order, with the result of the whole list and the arguments of the ADD', async () => {
    using lab = new PluginLab();
    lab.plugin('one', 'echo "{}"');
    lab.plugin('two');
    const cni = lab.cni();
    await cni.addList(lab.list(two), { ...pod, args: [['A', 'B']] });
    lab.calls();
    await cni.checkList(lab.list(two), pod);
    assert.deepEqual(lab.calls(), ['one CHECK c1 eth0 A=B', 'two CHECK c1 eth0 A=B']);
    assert.deepEqual(lab.stdin('one', 'CHECK').prevResult, {
      cniVersion: '1.1.0',
      ips: [{ address: '10.1.2.3/24' }],
    });
  });

  test('not before an ADD, not after a DEL', async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    const cni = lab.cni();
    const list = lab.list(one);
    const refused = async () => {
      const error = await rejection<CniError>(cni.checkList(list, pod));
      assert.deepEqual(
        [error.code, error.message],
        ['not-attached', 'check container "c1" in network "lab": "eth0" is not attached'],
      );
    };
    await refused();
    await cni.addList(list, pod);
    await cni.checkList(list, pod);
    await cni.delList(list, pod);
    await refused();
  });
});

describe('GC', () => {
  test('nothing said to be valid: everything cached is detached, the keys are left out', async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    const cni = lab.cni();
    const list = lab.list(one);
    await cni.addList(list, pod);
    await cni.gc(list, { validAttachments: undefined });
    assert.deepEqual(lab.calls().slice(-2), ['one DEL c1 eth0', 'one GC']);
    assert.deepEqual(
      Object.keys(lab.stdin('one', 'GC')).filter((key) => key.startsWith('cni.dev/')),
      [],
    );
  });

  test('a list before 1.1.0: what is stale is detached, plugins are not called with GC', async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    const cni = lab.cni();
    const list = lab.list(one, '1.0.0');
    await cni.addList(list, pod);
    await cni.gc(list, { validAttachments: [] });
    assert.deepEqual(lab.calls().slice(1), ['one DEL c1 eth0']);
  });

  test('goes on after failures and reports them all', async () => {
    using lab = new PluginLab();
    const failing = '[ $CNI_COMMAND = ADD ] && echo "{}"; [ $CNI_COMMAND = ADD ]';
    for (const type of ['one', 'two']) lab.plugin(type, failing);
    const cni = lab.cni();
    const list = lab.list(two);
    for (const containerID of ['a', 'b']) await cni.addList(list, { ...pod, containerID });
    lab.calls();
    const error = await rejection<CniError>(cni.gc(list, { validAttachments: [] }));
    assert.deepEqual(lab.calls(), [
      ...['a', 'b'].flatMap((id) => [`two DEL ${id} eth0`, `one DEL ${id} eth0`]),
      'one GC',
      'two GC',
    ]);
    assert.equal(error.errors.length, 4);
  });
});

describe('STATUS', () => {
  test('the first error, as it is; plugins in order', async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    lab.plugin('two', 'echo "{\\"code\\":51,\\"msg\\":\\"down\\"}"; exit 1');
    lab.plugin('three');
    const list = lab.list({ plugins: [{ type: 'one' }, { type: 'two' }, { type: 'three' }] });
    const error = await rejection<CniError>(lab.cni().status(list));
    assert.deepEqual([error.code, error.number], ['limited-connectivity', 51]);
    assert.deepEqual(lab.calls(), ['one STATUS', 'two STATUS']);
  });
});

test('validation tells every mistake and reads no capability twice', async () => {
  using lab = new PluginLab();
  lab.plugin('one');
  lab.plugin('two');
  const cni = lab.cni();
  const capabilities = { mac: true };
  const plugins = [
    { type: 'one', capabilities },
    { type: 'two', capabilities: { ...capabilities, ips: true } },
  ];
  assert.deepEqual(await cni.validateList(lab.list({ plugins })), ['mac', 'ips']);
  const error = await rejection<CniError>(
    cni.validateList(lab.list({ plugins: [{ type: 'none' }, { type: 'one' }] }, '0.3.1')),
  );
  assert.equal(error.errors.length, 2);
  assert.match(
    error.message,
    /failed to find plugin "none".*plugin one does not support config version "0\.3\.1"/,
  );
});

describe('DEL', () => {
  test('a plugin that is not installed any more: an error, the others are called (CNI-04)', async () => {
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

  test('a path that is no namespace any more is passed on as none (CNI-18)', async () => {
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

  test('one at a time for an attachment, the second waits (CNI-20)', async () => {
    using lab = new PluginLab();
    lab.plugin(
      'one',
      '[ $CNI_COMMAND = DEL ] || { echo "{}"; exit; }; mkdir "$dir/busy" || exit 1; sleep 0.5; rmdir "$dir/busy"',
    );
    const cni = lab.cni();
    const list = lab.list(one);
    await cni.addList(list, pod);
    lab.calls();
    await Promise.all([
      cni.delList(list, pod),
      cni.delList(list, { ...pod, netns: '' }),
      cni.delList(list, pod),
    ]);
    assert.deepEqual(lab.calls(), Array(3).fill('one DEL c1 eth0'));
  });

  test('interfaces of one container never at the same time (R3)', async () => {
    using lab = new PluginLab();
    lab.plugin('one', 'mkdir "$dir/busy" || exit 1; sleep 0.1; rmdir "$dir/busy"; echo "{}"');
    const cni = lab.cni();
    const ifNames = ['eth0', 'net1', 'net2'];
    await Promise.all(
      ifNames.map((ifName) => cni.addList(lab.list({ ...one, name: ifName }), { ...pod, ifName })),
    );
    await Promise.all(
      ifNames.map((ifName) => cni.delList(lab.list({ ...one, name: ifName }), { ...pod, ifName })),
    );
  });

  test('cleaning up after a failed ADD has time of its own, and DEL that fails again keeps the record (CNI-05)', async () => {
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
});

test('in process: the same guards as for a program', async () => {
  using lab = new PluginLab();
  lab.plugin('ours');
  const seen: string[] = [];
  const inProcess = {
    resolve: (type: string) =>
      type !== 'ours'
        ? undefined
        : {
            type: 'ours',
            about: 'a plugin',
            versions: ['1.1.0'],
            async call(command: string, request: PluginRequest) {
              seen.push(`${command} ${request.netns}`);
              if (command === 'CHECK') await request.delegate('one', 'ADD');
              return {};
            },
          },
  };
  const cni = lab.cni({ inProcess });
  const list = lab.list({ plugins: [{ type: 'ours' }] });
  const own = await rejection<CniError>(cni.addList(list, { ...pod, netns: '/proc/self/ns/net' }));
  assert.equal(own.code, 'invalid-netns');
  assert.deepEqual(seen, ['DEL ']);
  await cni.addList(list, pod);
  assert.match((await rejection(cni.checkList(list, pod))).message, /CNI_COMMAND is not ADD$/);
  const old = await rejection<CniError>(
    cni.addList(lab.list({ plugins: [{ type: 'ours' }] }, '1.0.0'), { ...pod, containerID: 'c2' }),
  );
  assert.equal(old.code, 'incompatible-version');
});
