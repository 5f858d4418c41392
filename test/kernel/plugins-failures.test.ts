import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createInvoker, type InProcessPlugins, type NetConf, type Result } from '@amphipod/cni';
import { inNetnsOfSocket, NETLINK, NetlinkSocket } from '@amphipod/linux';
import { type NetlinkTransport, Nft, Rtnl } from '@amphipod/netlink';
import { builtinPlugins, openPluginHost, pluginBinDir } from '@amphipod/plugins';
import { links, run, World } from '../conformance/lib/world.ts';

/** Counts requests to the kernel and refuses one of them. */
class Fuse {
  sent = 0;
  failAt = Number.POSITIVE_INFINITY;

  check(): void {
    this.sent++;
    if (this.sent === this.failAt) throw new Error(`injected failure of request ${this.failAt}`);
  }

  get isBlown(): boolean {
    return this.sent >= this.failAt;
  }
}

/** A socket whose sends go through the fuse. */
function fused(socket: NetlinkSocket, fuse: Fuse): NetlinkTransport {
  return {
    send(datagram) {
      fuse.check();
      socket.send(datagram);
    },
    receiveNow: () => socket.receiveNow(),
    close: () => socket.close(),
  };
}

function fusedPlugins(fuse: Fuse): InProcessPlugins {
  return builtinPlugins(() =>
    openPluginHost({
      openRtnl() {
        const socket = new NetlinkSocket(NETLINK.ROUTE);
        return new Rtnl(fused(socket, fuse), (groups) =>
          inNetnsOfSocket(socket.fd, () => new NetlinkSocket(NETLINK.ROUTE, groups)),
        );
      },
      openNft: () => new Nft(fused(new NetlinkSocket(NETLINK.NETFILTER), fuse)),
    }),
  );
}

function caller(inProcess: InProcessPlugins) {
  const invoker = createInvoker({ pluginDirs: [pluginBinDir], inProcess, ownGroup: true });
  return (
    command: 'ADD' | 'DEL' | 'CHECK',
    config: NetConf,
    containerID: string,
    netns: string,
    prevResult?: Result,
  ) =>
    invoker.call(
      config.type,
      command,
      { containerID, netns, ifName: 'eth0', args: '', config, prevResult },
      new AbortController().signal,
    );
}

/** All that an ADD may change. */
function snapshot(world: World, netns: string): object {
  return {
    links: links().map(({ ifname, master, addr_info }) => ({
      ifname,
      master,
      addresses: addr_info.map(({ local }) => local),
    })),
    pod: links(netns).map(({ ifname }) => ifname),
    rules: run('nft', 'list', 'ruleset'),
    reservations: world.reservations('testnet'),
  };
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

const portmapConfig: NetConf = {
  cniVersion: '1.1.0',
  name: 'testnet',
  type: 'portmap',
  masqAll: true,
  runtimeConfig: {
    portMappings: [
      { hostPort: 8080, containerPort: 80, protocol: 'tcp' },
      { hostPort: 5353, containerPort: 53, protocol: 'udp', hostIP: '10.99.0.1' },
    ],
  },
};

/** Lets request 1, 2, … fail in turn until one ADD goes through; gives the number of requests that it needs. */
async function failEach(fuse: Fuse, attempt: () => Promise<unknown>, look: () => object): Promise<number> {
  for (let failAt = 1; ; failAt++) {
    const before = look();
    fuse.sent = 0;
    fuse.failAt = failAt;
    try {
      await attempt();
    } catch (error) {
      assert.match((error as Error).message, new RegExp(`injected failure of request ${failAt}$`));
      assert.deepEqual(look(), before, `left after request ${failAt} failed`);
      continue;
    }
    assert.equal(fuse.isBlown, false, `the failure of request ${failAt} went unnoticed`);
    return failAt - 1;
  }
}

describe('every request to the kernel fails once', () => {
  test('bridge, a further pod; the one before stays whole', async () => {
    using world = new World();
    const fuse = new Fuse();
    const call = caller(fusedPlugins(fuse));
    const [a, b] = [world.netns('a'), world.netns('b')];
    const config = bridgeConfig(world);
    const first = await call('ADD', config, 'first', a);
    const count = await failEach(
      fuse,
      () => call('ADD', config, 'second', b),
      () => snapshot(world, b),
    );
    assert.ok(count >= 10, `${count} requests`);
    fuse.failAt = Number.POSITIVE_INFINITY;
    await call('CHECK', config, 'first', a, first);
  });

  test('portmap', async () => {
    using world = new World();
    const fuse = new Fuse();
    const call = caller(fusedPlugins(fuse));
    const [a, b] = [world.netns('a'), world.netns('b')];
    const other: NetConf = {
      ...portmapConfig,
      runtimeConfig: { portMappings: [{ hostPort: 1, containerPort: 1 }] },
    };
    await call('ADD', other, 'first', a, await call('ADD', bridgeConfig(world), 'first', a));
    const prevResult = await call('ADD', bridgeConfig(world), 'second', b);
    const count = await failEach(
      fuse,
      () => call('ADD', portmapConfig, 'second', b, prevResult),
      () => snapshot(world, b),
    );
    assert.ok(count >= 4, `${count} requests`);
    fuse.failAt = Number.POSITIVE_INFINITY;
    await call('CHECK', portmapConfig, 'second', b, prevResult);
  });

  test('DEL goes on after a failure and finishes when it is repeated', async () => {
    using world = new World();
    const fuse = new Fuse();
    const call = caller(fusedPlugins(fuse));
    const netns = world.netns('a');
    const config = bridgeConfig(world);
    for (let failAt = 1; ; failAt++) {
      fuse.failAt = Number.POSITIVE_INFINITY;
      const prevResult = await call('ADD', config, 'pod', netns);
      fuse.sent = 0;
      fuse.failAt = failAt;
      let isFailed = false;
      await call('DEL', config, 'pod', netns, prevResult).catch((error: Error) => {
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
      fuse.failAt = Number.POSITIVE_INFINITY;
      await call('DEL', config, 'pod', netns, prevResult);
      assert.deepEqual(
        links()
          .map(({ ifname }) => ifname)
          .sort(),
        ['lo', 'tb0'],
      );
      assert.doesNotMatch(run('nft', 'list', 'ruleset'), /pod\/eth0/);
    }
  });
});
