import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { findPlugin } from '@amphipod/cni';
import { builtinPlugins } from './builtin-plugins.ts';
import { pluginBinDir } from './executables/installation.ts';
import { parseResolvConf } from './host-local/resolv-conf.ts';
import { isStaleTag, ownerTag } from './lib/owner.ts';
import { randomMacs } from './lib/random-mac.ts';

test('only our own file is called in process, by whatever link it is found', () => {
  const plugins = builtinPlugins();
  const dir = mkdtempSync(join(tmpdir(), 'cni-bin-'));
  try {
    symlinkSync(join(pluginBinDir, 'bridge'), join(dir, 'bridge'));
    copyFileSync(join(pluginBinDir, 'portmap'), join(dir, 'portmap'));
    assert.equal(plugins.resolve('bridge', findPlugin('bridge', [dir]))?.type, 'bridge');
    assert.equal(plugins.resolve('portmap', findPlugin('portmap', [dir])), undefined);
    assert.equal(plugins.resolve('loopback', findPlugin('bridge', [dir])), undefined);
    assert.equal(plugins.resolve('firewall', findPlugin('bridge', [dir])), undefined);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('tags name the owner, and long ones stay apart', () => {
  assert.equal(ownerTag({ network: 'n', containerID: 'c', ifName: 'eth0' }), 'cni n c/eth0');
  const long = (end: string) =>
    ownerTag({ network: 'n', containerID: `${'x'.repeat(200)}${end}`, ifName: 'eth0' });
  assert.equal(long('a').length, 120);
  assert.notEqual(long('a'), long('b'));
  const valid = [{ containerID: 'c', ifName: 'eth0' }];
  assert.equal(isStaleTag('cni n c/eth0', 'n', valid), false);
  assert.equal(isStaleTag('cni n c/eth1', 'n', valid), true);
  assert.equal(isStaleTag('cni other c/eth1', 'n', valid), false);
  assert.equal(isStaleTag('somebody else', 'n', valid), false);
});

test('hardware addresses are local and no multicast ones', () => {
  for (const mac of randomMacs(200)) {
    assert.match(mac, /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/);
    assert.equal(Number.parseInt(mac.slice(0, 2), 16) & 3, 2);
  }
});

test('resolv.conf', () => {
  assert.deepEqual(
    parseResolvConf('#x\n nameserver  192.0.2.1\nsearch a b\nsearch c\noptions\nunknown y\n'),
    {
      nameservers: ['192.0.2.1'],
      search: ['a', 'b', 'c'],
    },
  );
});
