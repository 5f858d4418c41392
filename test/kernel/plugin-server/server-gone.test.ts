import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { builtinPlugins, createPluginServer } from '@amphipod/plugins';
import { installInScratch, startPluginServer } from '../../conformance/lib/start-plugin-server.ts';
import { World } from '../../conformance/lib/world.ts';
import { addCall, fallBack, names, plugin, slowIpam, start, until } from './support.ts';

describe('plugin server: its own end', () => {
  test('in the middle of an ADD is error 11, in the middle of a DEL nothing at all', async () => {
    using world = new World();
    for (const command of ['ADD', 'DEL']) {
      const mortal = await startPluginServer();
      const { dir } = slowIpam(world, 30);
      const { env, stdin } = addCall(world, dir, world.netns(command));
      const slow = { ...env, CNI_COMMAND: command, ...fallBack };
      const { child, ended } = start([plugin('bridge', mortal)], slow, undefined);
      // It has asked for stdin by then, or asks nobody.
      await sleep(300);
      mortal.process.kill('SIGKILL');
      await once(mortal.process, 'exit');
      child.stdin!.end(stdin);
      const { code, stdout } = await ended;
      if (command === 'ADD') {
        assert.equal(code, 1);
        assert.deepEqual(JSON.parse(stdout), {
          code: 11,
          msg: `run plugin by ${mortal.socket}: the server ended before it answered`,
        });
      } else assert.deepEqual([code, stdout], [0, '']);
    }
  });

  test('hanging before it has asked for anything is as if there were none', async () => {
    const mortal = await startPluginServer();
    mortal.process.kill('SIGSTOP');
    try {
      const begin = performance.now();
      const { code, stdout } = await start(
        [plugin('bridge', mortal)],
        { CNI_COMMAND: 'VERSION', ...fallBack },
        '',
      ).ended;
      assert.equal(code, 0);
      assert.match(stdout, /"supportedVersions"/);
      assert.ok(performance.now() - begin > 9_000, 'it has waited for the server');
    } finally {
      mortal.process.kill('SIGKILL');
      await once(mortal.process, 'exit');
    }
  });

  test('hanging in the middle of an ADD: what a caller who lost patience leaves is undone once it goes on', async () => {
    using world = new World();
    const mortal = await startPluginServer();
    try {
      const netns = world.netns('a');
      const { dir, calls } = slowIpam(world, 30);
      const { env, stdin } = addCall(world, dir, netns);
      const { child, ended } = start([plugin('bridge', mortal)], env, stdin);
      await until(() => existsSync(calls) && names(netns).includes('eth0'));
      mortal.process.kill('SIGSTOP');
      child.kill('SIGTERM');
      await ended;
      assert.ok(names(netns).includes('eth0'));
      mortal.process.kill('SIGCONT');
      await until(() => !names(netns).includes('eth0') && !names().includes('slow0'));
    } finally {
      mortal.process.kill('SIGKILL');
      await once(mortal.process, 'exit');
    }
  });

  test('lets calls under way finish and takes the socket away', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'cni-server-'));
    try {
      const socketPath = join(dir, 'deep/cni.sock');
      const own = await createPluginServer({ socketPath, plugins: builtinPlugins() });
      await assert.rejects(createPluginServer({ socketPath }), { code: 'try-again-later' });
      const call = start([join(installInScratch(socketPath), 'bridge')], { CNI_COMMAND: 'VERSION' }, '');
      assert.equal((await call.ended).code, 0);
      await own[Symbol.asyncDispose]();
      assert.deepEqual(readdirSync(join(dir, 'deep')), ['cni.sock.lock']);
      // What a killed server leaves is in nobody's way.
      writeFileSync(socketPath, '');
      await (await createPluginServer({ socketPath }))[Symbol.asyncDispose]();
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
