import assert from 'node:assert/strict';
import {
  chmodSync,
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { findPlugin, type NetConf } from '@amphipod/cni';
import { builtinPlugins, builtinPluginTypes } from './builtin-plugins.ts';
import { commonKeys, configChecks, type KnownKeys } from './config-checks.ts';
import { readIdentity } from './executables/identity.ts';
import { findExecutables, installExecutables } from './executables/install-executables.ts';
import { ownInstallation, pluginBinDir } from './executables/installation.ts';
import { parseResolvConf } from './host-local/resolv-conf.ts';
import { isStaleTag, ownerTag } from './lib/owner.ts';

test('only our own files are called in process, by whatever link they are found', () => {
  const plugins = builtinPlugins();
  const dir = mkdtempSync(join(tmpdir(), 'cni-bin-'));
  const resolve = (type: string, file = type) => plugins.resolve(type, findPlugin(file, [dir]))?.type;
  const installation = ownInstallation();
  const types = ['bridge', 'host-local', 'loopback', 'portmap'];
  try {
    installExecutables(dir, { installation, types, socket: '/run/elsewhere.sock' });
    for (const type of types) assert.equal(resolve(type), type);
    assert.equal(resolve('loopback', 'bridge'), undefined, 'another plugin of ours');
    // In a known place with new content, or by content that is nearly ours.
    writeFileSync(join(dir, 'loopback'), `${readFileSync(join(dir, 'loopback'), 'latin1')}x`, 'latin1');
    assert.equal(resolve('loopback'), undefined, 'changed in place');
    chmodSync(join(dir, 'host-local'), 0o644);
    assert.equal(resolve('host-local'), undefined, 'not executable');
    installExecutables(dir, { installation: { ...installation, version: '0.0.9' }, types, socket: '' });
    assert.equal(resolve('bridge'), undefined, 'of another version');
    installExecutables(dir, { installation: { ...installation, root: '/elsewhere' }, types, socket: '' });
    assert.equal(resolve('bridge'), undefined, 'of another installation');
    copyFileSync(join(pluginBinDir, 'portmap'), join(dir, 'portmap'));
    assert.equal(resolve('portmap'), undefined, 'would not find its installation');
    rmSync(join(dir, 'bridge'));
    symlinkSync(join(pluginBinDir, 'bridge'), join(dir, 'bridge'));
    assert.equal(resolve('bridge'), 'bridge');
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('there is an executable for every plugin, and no other', () => {
  assert.deepEqual(readdirSync(pluginBinDir).sort(), [...builtinPluginTypes].sort());
  for (const type of builtinPluginTypes)
    assert.equal(readIdentity(readFileSync(join(pluginBinDir, type)))?.name, type);
});

test('the table for validation and the pages have the same keys', () => {
  assert.deepEqual(Object.keys(configChecks).sort(), [...builtinPluginTypes].sort());
  for (const [type, { keys }] of Object.entries(configChecks)) {
    const page = pageOf(type);
    const section = page.split(/^## /m).find((part) => part.startsWith('Keys'));
    if (section === undefined) {
      assert.deepEqual(keys, {}, `docs/plugins/${type}.md has no section "Keys"`);
      continue;
    }
    const known = new Set(namesIn({ ...commonKeys, ...keys }));
    for (const [, cell = ''] of section.matchAll(/^\| (`.*?) \|/gm))
      for (const [, key = ''] of cell.matchAll(/(?:^|, )`([A-Za-z0-9]+)`/g))
        assert.ok(
          known.has(key),
          `${type}: key ${key} of docs/plugins/${type}.md is not in config-checks.ts`,
        );
    for (const key of Object.keys(keys))
      assert.ok(section.includes(`\`${key}\``), `${type}: key ${key} is not in docs/plugins/${type}.md`);
  }
});

test('a reader takes the configuration of its page, and asks for no key that is not in the table', () => {
  for (const [type, { keys, isIpam = false, read }] of Object.entries(configChecks)) {
    if (read === undefined) continue;
    const [, text = ''] = /```json\n(.*?)```/s.exec(pageOf(type)) ?? [];
    const { plugins, ...list } = JSON.parse(text) as { plugins: NetConf[] };
    const plugin = plugins.find((each) => each.type === type || each.ipam?.type === type);
    const config = { ...list, ...plugin } as NetConf;
    const asked = new Set<string>();
    const watched = isIpam ? { ...config, ipam: watch(config.ipam!, asked) } : watch(config, asked);
    read({ config: watched, args: '' });
    const unknown = [...asked].filter((key) => !(key in commonKeys) && !(key in keys));
    assert.deepEqual(unknown, [], `${type} reads keys that are not in config-checks.ts`);
    assert.ok(asked.size > 0, type);
  }
});

function pageOf(type: string): string {
  return readFileSync(new URL(`../../../docs/plugins/${type}.md`, import.meta.url), 'utf8');
}

/** Notes which keys are asked for, present or not. */
function watch<T extends object>(object: T, asked: Set<string>): T {
  return new Proxy(object, {
    get(target, key, receiver) {
      asked.add(String(key));
      return Reflect.get(target, key, receiver);
    },
    getOwnPropertyDescriptor(target, key) {
      asked.add(String(key));
      return Reflect.getOwnPropertyDescriptor(target, key);
    },
  });
}

function namesIn(keys: KnownKeys): string[] {
  return Object.entries(keys).flatMap(([name, below]) => [name, ...(below === true ? [] : namesIn(below))]);
}

test('an installation replaces what is ours and leaves alone what is not', () => {
  const dir = mkdtempSync(join(tmpdir(), 'cni-bin-'));
  const options = { installation: ownInstallation(), types: ['bridge', 'portmap'], socket: '' };
  const states = () => findExecutables(dir, options).map(({ state }) => state);
  try {
    symlinkSync('/nonexistent', join(dir, 'portmap'));
    assert.deepEqual(states(), ['missing', 'foreign']);
    assert.throws(() => installExecutables(dir, options), {
      message: new RegExp(`left alone: ${dir}/portmap$`),
    });
    assert.deepEqual(readdirSync(dir), ['portmap'], 'nothing is installed beside it');
    const forced = installExecutables(dir, { ...options, force: true });
    assert.deepEqual(
      forced.map(({ state }) => state),
      ['installed', 'replaced'],
    );
    assert.equal(statSync(join(dir, 'portmap')).mode & 0o777, 0o755);
    const { ino } = statSync(join(dir, 'bridge'));
    assert.deepEqual(
      installExecutables(dir, options).map(({ state }) => state),
      ['unchanged', 'unchanged'],
    );
    assert.equal(statSync(join(dir, 'bridge')).ino, ino);
    assert.deepEqual(findExecutables(dir, { ...options, socket: '/run/x.sock' })[0]!.state, 'other');
    assert.deepEqual(readdirSync(dir).sort(), ['bridge', 'portmap'], 'no temporary file');
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

test('resolv.conf', () => {
  assert.deepEqual(
    parseResolvConf('#x\n nameserver  192.0.2.1\nsearch a b\nsearch c\noptions\nunknown y\n'),
    {
      nameservers: ['192.0.2.1'],
      search: ['a', 'b', 'c'],
    },
  );
});
