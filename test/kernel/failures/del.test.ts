import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createInvoker, type InProcessPlugins, type NetConf, type Result } from '@amphipod/cni';
import { pluginBinDir } from '@amphipod/plugins';
import { links, run, World } from '../../conformance/lib/world.ts';
import { Fuse, fusedPlugins } from './fuse.ts';

test('DEL goes on after a failure and finishes when it is repeated', async () => {
  using world = new World();
  const fuse = new Fuse();
  const call = caller(fusedPlugins(fuse), bridgeConfig(world));
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
    assert.deepEqual(
      links()
        .map(({ ifname }) => ifname)
        .sort(),
      ['lo', 'tb0'],
    );
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

function bridgeConfig(world: World): NetConf {
  return {
    cniVersion: '1.1.0',
    name: 'testnet',
    type: 'bridge',
    bridge: 'tb0',
    isGateway: true,
    ipMasq: true,
    hairpinMode: true,
    ipam: {
      type: 'host-local',
      ranges: [[{ subnet: '10.99.0.0/24' }], [{ subnet: 'fd00:99::/64' }]],
      routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
      dataDir: world.dataDir,
    },
  };
}
