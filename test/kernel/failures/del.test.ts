import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createInvoker, type InProcessPlugins, type NetConf, type Result } from '@amphipod/cni';
import { pluginBinDir } from '@amphipod/plugins';
import { bridgeConfig, dualStack } from '../../conformance/lib/configs.ts';
import { linkNames, links, run, World } from '../../conformance/lib/world.ts';
import { Fuse, fusedPlugins } from './fuse.ts';

test('DEL goes on after a failure and finishes when it is repeated', async () => {
  using world = new World();
  const fuse = new Fuse();
  const call = caller(fusedPlugins(fuse), {
    cniVersion: '1.1.0',
    name: 'testnet',
    ...bridgeConfig(world, { ipMasq: true, hairpinMode: true, ipam: dualStack(world) }),
  });
  const netns = world.netns('a');
  for (let failAt = 1; ; failAt++) {
    const prevResult = await call('ADD', netns);
    fuse.arm(failAt);
    let isFailed = false;
    await call('DEL', netns, prevResult).catch((error: Error) => {
      assert.match(error.message, /injected failure/);
      isFailed = true;
    });
    // An address in use is never given back.
    if (links(netns).some(({ ifname }) => ifname === 'eth0')) {
      assert.equal(world.reservations('testnet').length, 2);
    }
    if (!isFailed) {
      assert.equal(fuse.isBlown, false);
      assert.ok(failAt > 2);
      break;
    }
    fuse.disarm();
    await call('DEL', netns, prevResult);
    assert.deepEqual(linkNames(), ['lo', 'tb0']);
    assert.doesNotMatch(run('nft', 'list', 'ruleset'), /pod\/eth0/);
  }
});

function caller(inProcess: InProcessPlugins, config: NetConf) {
  const invoker = createInvoker({ pluginDirs: [pluginBinDir], inProcess, ownGroup: true });
  return (command: 'ADD' | 'DEL', netns: string, prevResult?: Result) =>
    invoker.call(
      config.type,
      command,
      { containerID: 'pod', netns, ifName: 'eth0', args: '', config, prevResult },
      new AbortController().signal,
    );
}
