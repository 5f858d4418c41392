import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Attachment } from './attachment.ts';
import type { CniError } from './errors.ts';
import { PluginLab, rejection } from './testing.ts';

const pod: Attachment = { containerID: 'c1', netns: '/run/netns/x', ifName: 'eth0' };
const one = { plugins: [{ type: 'one' }] };
const two = { plugins: [{ type: 'one' }, { type: 'two' }] };

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

test('CHECK: in order, with the result of the whole list and the arguments of the ADD', async () => {
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

test('CHECK: not before an ADD, not after a DEL', async () => {
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
