import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Attachment } from './attachment.ts';
import type { CniError } from './errors.ts';
import type { PluginRequest } from './plugin.ts';
import { PluginLab, rejection } from './testing.ts';

const pod: Attachment = { containerID: 'c1', netns: '/run/netns/x', ifName: 'eth0' };

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

test('STATUS: the first error, as it is; plugins in order', async () => {
  using lab = new PluginLab();
  lab.plugin('one');
  lab.plugin('two', 'echo "{\\"code\\":51,\\"msg\\":\\"down\\"}"; exit 1');
  lab.plugin('three');
  const list = lab.list({ plugins: [{ type: 'one' }, { type: 'two' }, { type: 'three' }] });
  const error = await rejection<CniError>(lab.cni().status(list));
  assert.deepEqual([error.code, error.number], ['limited-connectivity', 51]);
  assert.deepEqual(lab.calls(), ['one STATUS', 'two STATUS']);
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

test('in process: no more comes back than the version of the configuration can say', async () => {
  using lab = new PluginLab();
  lab.plugin('ours');
  const seen: string[] = [];
  const ips = [{ address: '10.1.2.3/24', interface: 0 }];
  const ours = {
    type: 'ours',
    about: 'a plugin',
    versions: ['0.2.0'],
    call(command: string) {
      seen.push(command);
      return Promise.resolve({ interfaces: [{ name: 'eth0', sandbox: pod.netns }], ips });
    },
  };
  const cni = lab.cni({ inProcess: { resolve: () => ours } });
  const list = lab.list({ plugins: [{ type: 'ours' }] }, '0.2.0');
  assert.deepEqual(await cni.addList(list, pod), { ips: [{ address: '10.1.2.3/24' }] });
  assert.deepEqual(seen.splice(0), ['ADD']);
  ips.splice(0, 1, { address: 'nonsense', interface: 0 });
  assert.match((await rejection(cni.addList(list, { ...pod, containerID: 'c2' }))).message, /nonsense/);
  assert.deepEqual(seen.slice(0, 2), ['ADD', 'DEL']);
});

test('a result that the runtime has changed is what CHECK and DEL are told', async () => {
  using lab = new PluginLab();
  lab.plugin('one');
  const cni = lab.cni();
  const list = lab.list({ plugins: [{ type: 'one' }] });
  cni.changeCachedResult(list.name, pod, () => assert.fail('there is none'));
  await cni.addList(list, { ...pod, args: [['A', 'b']] });
  cni.changeCachedResult(list.name, pod, (result) => ({ ...result, routes: [{ dst: '0.0.0.0/0' }] }));
  assert.deepEqual(cni.cachedResult(list.name, pod)?.routes, [{ dst: '0.0.0.0/0' }]);
  lab.calls();
  await cni.checkList(list, pod);
  const { prevResult } = lab.stdin('one', 'CHECK') as { prevResult: { routes: unknown } };
  assert.deepEqual(prevResult.routes, [{ dst: '0.0.0.0/0' }]);
  assert.deepEqual(lab.calls(), ['one CHECK c1 eth0 A=b'], 'arguments are kept');
});

test('what a plugin in process warns of goes where the words of programs go', async () => {
  using lab = new PluginLab();
  lab.plugin('ours');
  const told: string[] = [];
  const ours = {
    ...{ type: 'ours', about: 'a plugin', versions: ['1.1.0'] },
    call(_command: string, request: PluginRequest) {
      request.warn?.('the device has another name');
      return Promise.resolve({});
    },
  };
  const onPluginStderr = (type: string, text: string) => told.push(`${type}: ${text}`);
  const cni = lab.cni({ inProcess: { resolve: () => ours }, onPluginStderr });
  await cni.addList(lab.list({ plugins: [{ type: 'ours' }] }), pod);
  assert.deepEqual(told, ['ours: the device has another name\n']);
});
