import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { builtinPluginTypes } from '@amphipod/plugins';
import { addresses, inPod, links, run } from '../conformance/lib/world.ts';
import { Networks, nothing, ports, program } from './cni-networks.ts';

describe('amphipod cni: as cnitool', () => {
  test('add prints the result, check is content, del takes all away', () => {
    using world = new Networks();
    const netns = world.netns('a');
    const added = world.call('add', ['pods', netns], { CAP_ARGS: ports });
    assert.equal(added.code, 0, added.err);
    const result = JSON.parse(added.out);
    assert.equal(result.cniVersion, '1.1.0');
    assert.equal(result.ips[0].address, '10.98.0.2/29');
    assert.deepEqual(addresses('eth0', netns), ['10.98.0.2/29']);
    assert.match(run('nft', 'list', 'ruleset'), /tcp \. 18080 .* 10\.98\.0\.2 \. 80/);
    assert.deepEqual(world.call('check', ['pods', netns], { CAP_ARGS: ports }), nothing);
    inPod(netns, 'ip', 'address', 'flush', 'dev', 'eth0');
    const checked = world.call('check', ['pods', netns], { CAP_ARGS: ports });
    assert.equal(checked.code, 1);
    assert.match(checked.err, /10\.98\.0\.2/);
    for (let i = 0; i < 2; i++)
      assert.deepEqual(world.call('del', ['pods', netns], { CAP_ARGS: ports }), nothing);
    assert.equal(
      links(netns).some(({ ifname }) => ifname === 'eth0'),
      false,
    );
    assert.deepEqual(world.reservations('pods'), []);
    assert.doesNotMatch(run('nft', 'list', 'ruleset'), /10\.98\.0\.2/);
  });

  test('variables of cnitool, and options in their place', () => {
    using world = new Networks();
    const netns = world.netns('a');
    const env = { CNI_IFNAME: 'net7', CNI_ARGS: 'IP=10.98.0.5' };
    assert.equal(world.call('add', ['pods', netns], env).code, 0);
    assert.deepEqual(addresses('net7', netns), ['10.98.0.5/29']);
    // The first ten bytes of the SHA-512 of the path, as cnitool makes it.
    const digest = run('sh', '-c', `printf %s ${netns} | sha512sum`).slice(0, 20);
    assert.equal(world.reservation('pods', '10.98.0.5').split(/\r?\n/)[0], `cnitool-${digest}`);
    const options = ['--ifname', 'net8', '--container-id', 'c8', '--args', 'IP=10.98.0.6'];
    assert.equal(world.call('add', ['pods', netns, ...options], env).code, 0);
    assert.equal(world.reservation('pods', '10.98.0.6'), 'c8\r\nnet8');
    // Without a namespace to go to, DEL still gives everything back.
    assert.equal(world.call('gc', ['pods', '--keep', 'c8/net8']).code, 0);
    assert.deepEqual(world.reservations('pods'), ['10.98.0.6']);
    assert.equal(world.call('gc', ['pods', netns]).code, 0);
    assert.deepEqual(world.reservations('pods'), []);
  });

  test('status says what is in the way', () => {
    using world = new Networks();
    assert.deepEqual(world.call('status', ['pods']), nothing);
    for (let i = 0; i < 5; i++)
      assert.equal(world.call('add', ['pods', world.netns(`a${i}`)]).code, 0, `address ${i}`);
    const full = world.call('status', ['pods']);
    assert.equal(full.code, 1);
    assert.match(full.err, /no IP addresses|full|no free/i);
  });

  test('mistakes: exit code 1 and the bare message', () => {
    using world = new Networks();
    const netns = world.netns('a');
    const unknown = world.call('add', ['nobody', netns]);
    assert.equal(unknown.code, 1);
    assert.match(unknown.err, /"nobody"/);
    for (const [env, words] of [
      [{ CNI_ARGS: 'IP' }, 'invalid CNI_ARGS pair "IP"\n'],
      [{ CAP_ARGS: '[]' }, 'read CAP_ARGS: got [], want an object such as {"portMappings": [...]}\n'],
    ] as [Record<string, string>, string][]) {
      assert.deepEqual(world.call('add', ['pods', netns], env), { code: 1, out: '', err: words });
    }
    assert.deepEqual(world.reservations('pods'), []);
    assert.equal(world.call('gc', ['pods', '--keep', 'x']).code, 125);
  });
});

describe('amphipod cni: list and validate', () => {
  test('list shows networks, and where each plugin runs', () => {
    using world = new Networks();
    world.write('20-other.conflist', { cniVersion: '1.0.0', name: 'other', plugins: [{ type: 'nobody' }] });
    world.write('30-broken.conflist', { name: 'broken' });
    const { code, out, err } = world.amphipod(['list', '-o', 'json']);
    assert.equal(code, 0);
    assert.match(err, /^warning: .*30-broken\.conflist/);
    const { networks, plugins } = JSON.parse(out);
    assert.deepEqual(
      networks.map(({ name, plugins: types }: { name: string; plugins: string[] }) => [name, ...types]),
      [
        ['pods', 'bridge', 'portmap'],
        ['other', 'nobody'],
      ],
    );
    const runs = new Map(plugins.map((plugin: { type: string; runs: string }) => [plugin.type, plugin.runs]));
    for (const type of builtinPluginTypes) assert.equal(runs.get(type), 'in process', type);
    assert.equal(runs.get('nobody'), 'missing');
  });

  test('validate: exit code 1 with an error, 0 with none', () => {
    using world = new Networks();
    assert.deepEqual(world.amphipod(['validate']), {
      ...nothing,
      out: `${world.confDir}/10-pods.conflist: fine\n`,
    });
    const broken = world.write('20-x.conflist', {
      cniVersion: '1.0.0',
      name: 'x',
      plugins: [{ type: 'vlan', master: 7 }],
    });
    const { code, out } = world.amphipod(['validate', '-o', 'json', broken]);
    assert.equal(code, 1);
    assert.deepEqual(
      JSON.parse(out).map(({ key, value }: { key: string; value: unknown }) => [key, value]),
      [['plugins[0].master', 7]],
    );
    assert.equal(world.amphipod(['validate', '/nonexistent']).code, 125);
  });
});

describe('amphipod cni: install and serve', () => {
  test('what install puts in place asks serve, and works without it', async () => {
    using world = new Networks();
    const socket = join(world.dir, 'cni.sock');
    const dir = join(world.dir, 'bin');
    const installed = world.amphipod(['install', '--plugin-socket', socket, dir, 'loopback', 'bridge']);
    assert.equal(installed.code, 0, installed.err);
    assert.deepEqual(readdirSync(dir).sort(), ['bridge', 'loopback']);
    assert.match(
      world.amphipod(['install', '--plugin-socket', socket, '--list', dir]).out,
      /^bridge +current/m,
    );
    const version = (env: Record<string, string>) =>
      spawnSync(join(dir, 'bridge'), {
        env: { CNI_COMMAND: 'VERSION', ...env },
        encoding: 'utf8',
        input: '',
      });
    const alone = version({ PATH: process.env.PATH ?? '' });
    assert.equal(alone.status, 0);
    assert.notEqual(version({ PATH: '/nonexistent' }).status, 0, 'Node.js needs a search path');
    const server = spawn(program, ['cni', 'serve', '--plugin-socket', socket], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    try {
      await once(server.stderr, 'data');
      assert.deepEqual(version({ PATH: '/nonexistent' }).stdout, alone.stdout);
      const second = world.amphipod(['serve', '--plugin-socket', socket]);
      assert.equal(second.code, 125);
      assert.match(second.err, /another server is there/);
    } finally {
      server.kill('SIGTERM');
      const [code] = await once(server, 'exit');
      assert.equal(code, 0);
    }
    assert.equal(existsSync(socket), false);
  });

  test('install leaves the files of others alone', () => {
    using world = new Networks();
    const dir = world.makeDir('bin');
    writeFileSync(join(dir, 'bridge'), 'of somebody else');
    const refused = world.amphipod(['install', dir]);
    assert.equal(refused.code, 125);
    assert.match(refused.err, /left alone: .*\/bridge \(--force replaces them\)/);
    assert.deepEqual(readdirSync(dir), ['bridge']);
    assert.equal(readFileSync(join(dir, 'bridge'), 'utf8'), 'of somebody else');
    assert.equal(world.amphipod(['install', '--force', dir]).code, 0);
    assert.deepEqual(readdirSync(dir).sort(), [...builtinPluginTypes].sort());
    assert.equal(world.amphipod(['install', dir, 'nobody']).code, 125);
  });
});
