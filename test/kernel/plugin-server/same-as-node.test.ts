import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { builtinPluginTypes, ownInstallation, writeExecutable, writeIdentity } from '@amphipod/plugins';
import { installInScratch } from '../../conformance/lib/start-plugin-server.ts';
import { World } from '../../conformance/lib/world.ts';
import { type Ending, fallBack, plugin, start } from './support.ts';

const withoutServer = installInScratch('');

/** Runs a plugin both ways, perhaps behind another program, and gives what came of it, byte for byte the same. */
async function bothWays(
  type: string,
  env: Record<string, string>,
  stdin: string,
  behind: string[] = [],
): Promise<Ending> {
  const served = await start([...behind, plugin(type)], env, stdin).ended;
  const alone = await start([...behind, join(withoutServer, type)], { ...env, ...fallBack }, stdin).ended;
  assert.deepEqual(served, alone);
  return served;
}

const complete = {
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/run/netns/none',
  CNI_IFNAME: 'eth0',
  CNI_PATH: '/opt/cni/bin',
};
const config = (more: object) => JSON.stringify({ cniVersion: '1.1.0', name: 'same', ...more });

describe('plugin server: exit code, stdout and stderr are those of Node.js', () => {
  for (const type of builtinPluginTypes) {
    test(`${type}: VERSION, and what it is about`, async () => {
      const { code, stdout } = await bothWays(type, { CNI_COMMAND: 'VERSION' }, '{"cniVersion":"1.1.0"}');
      assert.equal(code, 0);
      assert.match(stdout, /"cniVersion": "1.1.0"/);
      // dhcp is a program with a command of its own, too.
      const about = await bothWays(type, {}, '');
      assert.equal(about.code, 0);
      assert.match(about.stderr, /Amphipod/);
    });
  }

  for (const [what, env, stdin, code] of [
    ['variables that are missing', { CNI_COMMAND: 'ADD' }, config({ type: 'bridge' }), 4],
    ['an unknown command', { ...complete, CNI_COMMAND: 'PUT' }, config({ type: 'bridge' }), 4],
    ['no JSON', { ...complete, CNI_COMMAND: 'ADD' }, '{"', 6],
    ['bytes that are no UTF-8', { ...complete, CNI_COMMAND: 'ADD' }, '\xff\u0000ä😀', 6],
    ['a wrong value', { ...complete, CNI_COMMAND: 'ADD' }, config({ type: 'bridge', mtu: 'ä"\\' }), 7],
    ['a version of tomorrow', { ...complete, CNI_COMMAND: 'ADD' }, '{"cniVersion":"9.0.0","name":"n"}', 1],
    ['nothing to delete', { ...complete, CNI_COMMAND: 'DEL' }, config({ type: 'bridge' }), undefined],
  ] as [string, Record<string, string>, string, number | undefined][]) {
    test(`bridge: ${what}`, async () => {
      const ending = await bothWays('bridge', env, stdin);
      assert.equal(ending.code, code === undefined ? 0 : 1);
      if (code !== undefined) assert.equal(JSON.parse(ending.stdout).code, code);
    });
  }

  test('a megabyte in and out', async () => {
    using world = new World();
    const netns = world.netns('a');
    const routes = Array.from({ length: 30_000 }, (_, i) => ({
      dst: `10.${i >> 8}.${i & 255}.0/24`,
      gw: '192.0.2.1',
    }));
    const stdin = config({ type: 'loopback', prevResult: { cniVersion: '1.1.0', routes } });
    assert.ok(stdin.length > 1 << 20);
    const { code, stdout } = await bothWays(
      'loopback',
      { ...complete, CNI_COMMAND: 'ADD', CNI_NETNS: netns },
      stdin,
    );
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(stdout).routes, routes);
  });

  test('without stdin, stdout or stderr', async () => {
    for (const closed of ['<&-', '>&-', '2>&-', '<&- >&- 2>&-']) {
      const shell = ['/bin/sh', '-c', `exec "$0" ${closed}`];
      const env = { ...complete, CNI_COMMAND: 'ADD', CNI_NETNS: '/nonexistent' };
      const { code, stdout } = await bothWays('loopback', env, config({ type: 'loopback' }), shell);
      assert.equal(code, 1, closed);
      assert.equal(stdout === '', closed.includes(' >&-') || closed === '>&-', closed);
    }
  });

  test('stdin that comes in drops', async () => {
    using world = new World();
    const { child, ended } = start(
      [plugin('loopback')],
      { ...complete, CNI_COMMAND: 'ADD', CNI_NETNS: world.netns('a') },
      undefined,
    );
    for (const part of config({ type: 'loopback' }).match(/.{1,8}/g)!) {
      child.stdin!.write(part);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    child.stdin!.end();
    const { code, stdout } = await ended;
    assert.equal(code, 0, stdout);
  });

  test('the shell script that stands in where there is no compiler says the same, too', async () => {
    using world = new World();
    const script = readFileSync(new URL('../../../packages/plugins/launcher/launcher.sh', import.meta.url));
    const { root, version } = ownInstallation();
    const path = join(world.dir, 'loopback');
    writeExecutable(path, writeIdentity(script, { name: 'loopback', version, root, socket: '' }));
    const env = { ...complete, CNI_COMMAND: 'ADD', CNI_NETNS: world.netns('a') };
    const stdin = config({ type: 'loopback' });
    const served = await start([plugin('loopback')], env, stdin).ended;
    assert.deepEqual(await start([path], { ...env, ...fallBack }, stdin).ended, served);
    assert.equal(served.code, 0);
  });
});
