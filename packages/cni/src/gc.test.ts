import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Attachment } from './attachment.ts';
import type { CniError } from './errors.ts';
import { PluginLab, rejection } from './testing.ts';

const pod: Attachment = { containerID: 'c1', netns: '/run/netns/x', ifName: 'eth0' };
const one = { plugins: [{ type: 'one' }] };
const two = { plugins: [{ type: 'one' }, { type: 'two' }] };

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

test('GC: nothing said to be valid: everything cached is detached, the keys are left out', async () => {
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

test('GC: a list before 1.1.0: what is stale is detached, plugins are not called with GC', async () => {
  using lab = new PluginLab();
  lab.plugin('one');
  const cni = lab.cni();
  const list = lab.list(one, '1.0.0');
  await cni.addList(list, pod);
  await cni.gc(list, { validAttachments: [] });
  assert.deepEqual(lab.calls().slice(1), ['one DEL c1 eth0']);
});

test('GC: goes on after failures and reports them all', async () => {
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
