import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { World } from '../../conformance/lib/world.ts';
import { addCall, connect, frame, hello, names, plugin, slowIpam, start, until } from './support.ts';

describe('plugin server: an ADD whose caller is gone', () => {
  test('delegates get the environment of the caller', async () => {
    using world = new World();
    const { dir, calls } = slowIpam(world, 0);
    const { env, stdin } = addCall(world, dir, world.netns('a'));
    const { code, stdout } = await start([plugin('bridge')], env, stdin).ended;
    assert.equal(code, 0, stdout);
    assert.equal(readFileSync(calls, 'utf8'), `ADD ${world.dir}\n`);
  });

  test('is ended in the middle and undone', async () => {
    using world = new World();
    const { dir, calls } = slowIpam(world, 30);
    const netns = world.netns('a');
    const { env, stdin } = addCall(world, dir, netns);
    const { child, ended } = start([plugin('bridge')], env, stdin);
    await until(() => existsSync(calls) && names(netns).includes('eth0'));
    child.kill('SIGKILL');
    await ended;
    await until(() => !names(netns).includes('eth0') && !names().includes('slow0'));
    // The link goes first.
    await until(() => /^ADD .*\nDEL .*\n$/.test(readFileSync(calls, 'utf8')));
  });

  test('is undone when its result does not arrive, and the next call of this pod waits for that', async () => {
    using world = new World();
    const netns = world.netns('a');
    const { dir } = slowIpam(world, 0.3);
    const { env, stdin } = addCall(world, dir, netns);
    const socket = await connect();
    socket.write(hello('bridge', env));
    await once(socket, 'data');
    socket.write(frame('I', stdin));
    const [result] = (await once(socket, 'data')) as [Buffer];
    assert.equal(result.toString('latin1', 0, 1), 'R');
    assert.equal(result[5], 0, 'exit code');
    assert.ok(names(netns).includes('eth0'));
    // Without the acknowledgement.
    socket.destroy();
    const { code, stdout } = await start([plugin('bridge')], env, stdin).ended;
    assert.equal(code, 0, stdout);
    assert.ok(names(netns).includes('eth0'));
    await start([plugin('bridge')], { ...env, CNI_COMMAND: 'DEL' }, stdin).ended;
  });

  test('is undone when nobody takes its result from the launcher', async () => {
    using world = new World();
    const netns = world.netns('a');
    const { dir, calls } = slowIpam(world, 0.3);
    const { env, stdin } = addCall(world, dir, netns);
    const { child, ended } = start([plugin('bridge')], env, stdin);
    child.stdout!.destroy();
    await ended;
    await until(() => existsSync(calls) && !names(netns).includes('eth0'));
  });
});
