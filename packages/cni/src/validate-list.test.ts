import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CniError } from './errors.ts';
import { PluginLab, rejection } from './testing.ts';

const two = { plugins: [{ type: 'one' }, { type: 'two' }] };

test('validation finds plugins, versions and capabilities', async () => {
  using lab = new PluginLab();
  lab.plugin('one');
  const cni = lab.cni();
  assert.deepEqual(
    await cni.validateList(lab.list({ plugins: [{ type: 'one', capabilities: { mac: true, ips: false } }] })),
    ['mac'],
  );
  const old = await rejection(cni.validateList(lab.list({ plugins: [{ type: 'one' }] }, '0.3.1')));
  assert.equal(old.message, 'plugin one does not support config version "0.3.1"');
  assert.match((await rejection(cni.validateList(lab.list(two)))).message, /failed to find plugin "two"/);
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
