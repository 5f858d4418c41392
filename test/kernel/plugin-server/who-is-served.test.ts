import assert from 'node:assert/strict';
import { chmodSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { installExecutables, ownInstallation } from '@amphipod/plugins';
import { startPluginServer } from '../../conformance/lib/start-plugin-server.ts';
import { World } from '../../conformance/lib/world.ts';
import {
  connect,
  fallBack,
  frame,
  hello,
  isServing,
  listen,
  plugin,
  server,
  start,
  version,
} from './support.ts';

describe('plugin server: who is served', () => {
  test('root in the namespaces of the server', isServing);

  test('the socket is for root alone', () => {
    assert.equal(statSync(server.socket).mode & 0o777, 0o600);
  });

  for (const [what, ...argv] of [
    ['another network namespace', 'unshare', '--net'],
    ['another mount namespace', 'unshare', '--mount', '--propagation', 'unchanged'],
    ['another user namespace', 'unshare', '--user', '--map-root-user'],
    ['a PID namespace with its own /proc', 'unshare', '--pid', '--fork', '--mount-proc'],
  ] as [string, ...string[]][]) {
    test(`${what} is not`, async () => {
      const env = { CNI_COMMAND: 'VERSION', ...fallBack };
      // It falls back; the proof is that Node.js is not found.
      const command = [...argv, 'env', 'PATH=/nonexistent', plugin('bridge')];
      const { code, stdout, stderr } = await start(command, env, '').ended;
      assert.notEqual(code, 0, `${stdout}${stderr}`);
      assert.match(stderr, /uname: not found|uname: No such file/, 'it went on to start Node.js');
    });
  }

  test('falling back gives the same answer', async () => {
    const env = { CNI_COMMAND: 'VERSION', ...fallBack };
    const fallen = await start(['unshare', '--net', plugin('bridge')], env, '').ended;
    assert.deepEqual(fallen, await version().ended);
  });

  test('relative paths are not, as the server has another working directory', async () => {
    for (const env of [{ CNI_NETNS: 'netns/a' }, { CNI_PATH: '/opt/cni/bin:bin' }] as Record<
      string,
      string
    >[]) {
      const socket = await connect();
      socket.write(hello('bridge', { CNI_COMMAND: 'ADD', ...env }));
      assert.match(await listen(socket), /^N....relative path/s);
    }
  });

  test('launchers of another version, of another installation and of unknown plugins are not', async () => {
    const { version: own, root } = ownInstallation();
    for (const [texts, reason] of [
      [['0.0.9', root, 'bridge'], /^N....version 0\.0\.9/s],
      [[own, '/elsewhere', 'bridge'], /^N....installation \/elsewhere/s],
      [[own, root, 'constructor'], /^N....no plugin "constructor"/s],
    ] as [string[], RegExp][]) {
      const socket = await connect();
      socket.write(frame('H', texts.map((text) => `${text}\0`).join('')));
      assert.match(await listen(socket), reason);
    }
  });

  test('who may not open the socket goes to Node.js', async () => {
    const closed = await startPluginServer();
    try {
      chmodSync(closed.socket, 0);
      const powerless = ['setpriv', '--bounding-set=-all', '--inh-caps=-all', plugin('bridge', closed)];
      const ending = await start(powerless, { CNI_COMMAND: 'VERSION', ...fallBack }, '').ended;
      assert.deepEqual(ending, await version().ended);
    } finally {
      closed.process.kill('SIGKILL');
    }
  });

  test('a socket that is no socket, or that nobody listens on, is as if there were none', async () => {
    using world = new World();
    const file = join(world.dir, 'file');
    writeFileSync(file, '');
    for (const [i, socket] of [file, world.dir, '/dev/null', `/${'x'.repeat(106)}`].entries()) {
      const dir = join(world.dir, String(i));
      installExecutables(dir, { installation: ownInstallation(), types: ['bridge'], socket });
      const env = { CNI_COMMAND: 'VERSION', ...fallBack };
      assert.deepEqual(await start([join(dir, 'bridge')], env, '').ended, await version().ended, socket);
    }
  });

  test('executables of another version work without the server of this one', async () => {
    using world = new World();
    const installation = { ...ownInstallation(), version: '0.0.9' };
    installExecutables(world.dir, { installation, types: ['bridge'], socket: server.socket });
    const old = [join(world.dir, 'bridge')];
    assert.notEqual((await start(old, { CNI_COMMAND: 'VERSION' }, '').ended).code, 0, 'the server took it');
    const ending = await start(old, { CNI_COMMAND: 'VERSION', ...fallBack }, '').ended;
    assert.deepEqual(ending, await version().ended);
  });
});
