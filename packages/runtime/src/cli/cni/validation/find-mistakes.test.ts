import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { builtinPluginTypes, configChecks, pluginBinDir } from '@amphipod/plugins';
import { findMistakes } from './find-mistakes.ts';
import { formatMistake } from './mistake.ts';

const dir = mkdtempSync(join(tmpdir(), 'amphipod-validate-'));
after(() => rmSync(dir, { recursive: true }));

/** Mistakes in a text, as they are printed, with the directory left out. */
async function mistakesIn(text: string, name = 'x.conflist'): Promise<string[]> {
  const file = join(dir, name);
  writeFileSync(file, text);
  const [checked] = await findMistakes([file], [pluginBinDir]);
  rmSync(file);
  return checked!.mistakes.map((mistake) => formatMistake(mistake).replaceAll(`${dir}/`, ''));
}

/** Those in a list of one network, without file and line. */
async function mistakesOf(...plugins: object[]): Promise<string[]> {
  const found = await mistakesIn(JSON.stringify({ cniVersion: '1.0.0', name: 'pods', plugins }));
  return found.map((line) => line.replace(/^x\.conflist:\d+:\d+: /, ''));
}

const ipam = { type: 'host-local', subnet: '10.1.0.0/24' };

describe('validate', () => {
  test('nothing to say about a configuration that works', async () => {
    const portmap = { type: 'portmap', capabilities: { portMappings: true } };
    assert.deepEqual(
      await mistakesOf({ type: 'bridge', BRIDGE: 'cni1', ipMasq: true, _note: 'x', ipam }, portmap),
      [],
    );
  });

  test('a place by line and column, counted from 1', async () => {
    const text =
      '{\n  "cniVersion": "1.0.0",\n  "name": "a b",\n  "plugins": [\n    {"type": "bridge", "mtu": "big"}\n  ]\n}';
    assert.deepEqual(await mistakesIn(text), [
      'x.conflist:3:3: error: name = "a b": not a name; want a letter or digit, then letters, digits, "_", "." and "-"',
      'x.conflist:5:24: error: plugins[0].mtu = "big": got "big", want an integer from 0 to 65535',
    ]);
  });

  test('text that is no JSON: what is expected where', async () => {
    assert.deepEqual(await mistakesIn('{\n  "name": "x",\n}'), [
      'x.conflist:3:1: error: got "}", want another one after the ","',
    ]);
    assert.deepEqual(await mistakesIn(''), ['x.conflist:1:1: error: got the end of the file, want a value']);
  });

  test('of several wrong values each is told, and nothing that only follows from one', async () => {
    const broken = { type: 'bridge', mtu: -1, isGateway: 'yes', ipam: { ...ipam, subnet: '10.1.0.0/33' } };
    assert.deepEqual(await mistakesOf(broken), [
      'error: plugins[0].mtu = -1: got -1, want an integer from 0 to 65535',
      'error: plugins[0].isGateway = "yes": got "yes", want true or false',
      'error: plugins[0].ipam.subnet = "10.1.0.0/33": got "10.1.0.0/33", want a network such as "10.1.2.0/24"',
    ]);
  });

  test('keys and plugins that are nearly right', async () => {
    assert.deepEqual(await mistakesOf({ type: 'brigde' }, { type: 'bridge', hairpinmod: true, ipam }), [
      `error: plugins[0].type = "brigde": no such plugin in ${pluginBinDir}; did you mean "bridge"?`,
      'warning: plugins[1].hairpinmod: bridge has no such key and ignores it; did you mean "hairpinMode"?',
    ]);
  });

  test('plugins at the wrong place, and what is missing for them', async () => {
    assert.deepEqual(await mistakesOf({ type: 'portmap' }, { type: 'macvlan', ipam: { type: 'bridge' } }), [
      'warning: plugins[0].capabilities: without the capability portMappings it gets nothing to do; write "capabilities": {"portMappings": true}',
      'error: plugins[0].type = "portmap": works on the result of another plugin; put it after one that makes an interface',
      'error: plugins[1].ipam.type = "bridge": gives no addresses; want an IPAM plugin such as host-local',
    ]);
    assert.deepEqual(await mistakesOf([], { type: 'portmap' }), [
      'error: plugins[0] = []: not a plugin; want an object with a "type"',
      'warning: plugins[1].capabilities: without the capability portMappings it gets nothing to do; write "capabilities": {"portMappings": true}',
    ]);
  });

  test('what is missing is told at what is around it', async () => {
    assert.deepEqual(await mistakesIn('{"cniVersion":"1.0.0","name":"n","type":"ptp"}', 'x.conf'), [
      'x.conf:1:1: error: ipam.type: missing, want the name of an IPAM plugin',
    ]);
  });

  test('a key twice, a list in a file of another kind, a version of tomorrow', async () => {
    const text = '{"cniVersion":"9.9.9","name":"n","name":"m","plugins":[{"type":"loopback"}]}';
    const found = await mistakesIn(text, 'x.conf');
    assert.equal(found.length, 3);
    assert.match(
      found[0]!,
      /cniVersion = "9\.9\.9": not a version of the specification; want one of 0\.1\.0, /,
    );
    assert.match(
      found[1]!,
      /^x\.conf:1:34: error: name: this key stands there twice; only the last one counts$/,
    );
    assert.match(found[2]!, /plugins: a list in a file of another kind; call the file \*\.conflist$/);
  });

  test('two networks of one name in a directory', async () => {
    const text = JSON.stringify({ cniVersion: '1.0.0', name: 'n', plugins: [{ type: 'loopback' }] });
    for (const name of ['a.conflist', 'b.conflist']) writeFileSync(join(dir, name), text);
    const [a, b] = await findMistakes([dir], [pluginBinDir]);
    assert.deepEqual(a!.mistakes, []);
    assert.match(
      formatMistake(b!.mistakes[0]!),
      /b\.conflist: error: name = "n": .*a\.conflist has this name too/,
    );
  });

  // Each gets a value that its own reader refuses, so the test fails for a plugin whose reader is not asked.
  const wrong: Record<string, object> = {
    bridge: { mtu: 'x' },
    dummy: {},
    'host-device': { device: 7 },
    'host-local': { ipam: { type: 'host-local', subnet: 'x' } },
    ipvlan: { mode: 'x' },
    macvlan: { mode: 'x' },
    portmap: { snat: 'x' },
    ptp: { mtu: 'x', ipam },
    tap: { owner: 'x' },
    vlan: { master: 'eth0', vlanId: 5000 },
  };
  for (const [type, config] of Object.entries(wrong)) {
    test(`${type}: its own reader is asked`, async () => {
      const plugin = configChecks[type]!.isIpam ? { type: 'bridge' } : { type };
      const found = await mistakesOf({ type: 'loopback' }, { ...plugin, ...config });
      assert.equal(found.filter((line) => line.startsWith('error: plugins[1]')).length, 1, found.join('\n'));
    });
  }

  test('every plugin is known', () => {
    for (const type of builtinPluginTypes) assert.ok(configChecks[type] !== undefined, type);
  });
});
