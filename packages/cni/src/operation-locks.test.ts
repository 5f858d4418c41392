import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Attachment } from './attachment.ts';
import { PluginLab } from './testing.ts';

const pod: Attachment = { containerID: 'c1', netns: '/run/netns/x', ifName: 'eth0' };
const one = { plugins: [{ type: 'one' }] };

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
