import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { NetConf } from '@amphipod/cni';
import { unpinNamespace } from '@amphipod/linux';
import { type Subject, subjects } from './lib/subjects.ts';
import { addresses, call, failureOf, link, links, routes, run, World } from './lib/world.ts';

type Config = Partial<NetConf> & { type: string };

function bridgeConfig(world: World, more: object = {}): Config {
  return {
    type: 'bridge',
    bridge: 'tb0',
    isGateway: true,
    ipam: {
      type: 'host-local',
      subnet: '10.99.0.0/24',
      routes: [{ dst: '0.0.0.0/0' }],
      dataDir: world.dataDir,
    },
    ...more,
  };
}

/** Names of links, to see that nothing is left. */
function linkNames(): string[] {
  return links()
    .map(({ ifname }) => ifname)
    .sort();
}

for (const subject of subjects) {
  describe(`bridge, ${subject.name}`, () => {
    test('ADD connects, CHECK agrees, DEL takes all away and may be repeated', async () => {
      using world = new World();
      const netns = world.netns('a');
      const config = bridgeConfig(world);
      const result = await call(subject, 'ADD', config, { netns });

      const [bridge, hostEnd, podEnd] = result.interfaces!;
      assert.deepEqual(result.ips, [{ address: '10.99.0.2/24', gateway: '10.99.0.1', interface: 2 }]);
      assert.deepEqual(result.routes, [{ dst: '0.0.0.0/0' }]);
      assert.equal(result.interfaces!.length, 3);
      assert.deepEqual([bridge!.name, podEnd!.name, podEnd!.sandbox], ['tb0', 'eth0', netns]);
      assert.match(hostEnd!.name, /^veth[0-9a-f]{8}$/);

      assert.deepEqual(addresses('tb0'), ['10.99.0.1/24']);
      assert.deepEqual(addresses('eth0', netns), ['10.99.0.2/24']);
      assert.equal(link('tb0')!.address, bridge!.mac);
      assert.equal(link('eth0', netns)!.address, podEnd!.mac);
      const host = link(hostEnd!.name)!;
      assert.deepEqual([host.address, host.master, host.operstate], [hostEnd!.mac, 'tb0', 'UP']);
      assert.ok(routes(netns).some(({ dst, gateway }) => dst === 'default' && gateway === '10.99.0.1'));
      assert.equal(run('sysctl', '-n', 'net.ipv4.ip_forward').trim(), '1');
      assert.equal(
        run('nsenter', `--net=${netns}`, 'sysctl', '-n', 'net.ipv4.conf.eth0.arp_notify').trim(),
        '1',
      );
      assert.deepEqual(world.reservations('testnet'), ['10.99.0.2']);

      await call(subject, 'CHECK', config, { netns, prevResult: result });
      await call(subject, 'DEL', config, { netns, prevResult: result });
      assert.deepEqual(linkNames(), ['lo', 'tb0']);
      assert.equal(link('eth0', netns), undefined);
      assert.deepEqual(world.reservations('testnet'), []);
      await call(subject, 'DEL', config, { netns, prevResult: result });
      await call(subject, 'DEL', config, { netns });
    });

    test('two pods reach one another', async () => {
      using world = new World();
      const [a, b] = [world.netns('a'), world.netns('b')];
      const config = bridgeConfig(world);
      await call(subject, 'ADD', config, { containerID: 'a', netns: a });
      const result = await call(subject, 'ADD', config, { containerID: 'b', netns: b });
      const target = result.ips![0]!.address.split('/')[0]!;
      run('nsenter', `--net=${a}`, 'busybox', 'ping', '-c', '1', '-w', '3', target);
      run('nsenter', `--net=${a}`, 'busybox', 'ping', '-c', '1', '-w', '3', '10.99.0.1');
    });

    test('both families', async () => {
      using world = new World();
      const netns = world.netns('a');
      const ipam = {
        type: 'host-local',
        ranges: [[{ subnet: '10.99.0.0/24' }], [{ subnet: 'fd00:99::/64' }]],
        routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
        dataDir: world.dataDir,
      };
      const config = bridgeConfig(world, { ipam });
      const result = await call(subject, 'ADD', config, { netns });
      assert.deepEqual(
        result.ips!.map(({ address }) => address),
        ['10.99.0.2/24', 'fd00:99::2/64'],
      );
      assert.deepEqual(addresses('tb0'), ['10.99.0.1/24', 'fd00:99::1/64']);
      // Usable at once, the link-local one too (NET-04); the reference's are tentative for up to two seconds.
      if (subject.isOurs) assert.doesNotMatch(run('ip', '-6', 'address', 'show', 'dev', 'tb0'), /tentative/);
      assert.deepEqual(addresses('eth0', netns), ['10.99.0.2/24', 'fd00:99::2/64']);
      const tentative = link('eth0', netns)!.addr_info.filter(
        (address) => address.scope === 'global' && address.tentative,
      );
      assert.deepEqual(tentative, []);
      const defaults = routes(netns).filter(({ dst }) => dst === 'default');
      assert.deepEqual(
        defaults.map(({ gateway }) => gateway),
        ['10.99.0.1', 'fd00:99::1'],
      );
      assert.equal(run('sysctl', '-n', 'net.ipv6.conf.all.forwarding').trim(), '1');
      await call(subject, 'CHECK', config, { netns, prevResult: result });
      await call(subject, 'DEL', config, { netns, prevResult: result });
      assert.deepEqual(world.reservations('testnet'), []);
    });

    test('without IPAM the interface is up and has no address', async () => {
      using world = new World();
      const netns = world.netns('a');
      const config = { type: 'bridge', bridge: 'tb0' };
      const result = await call(subject, 'ADD', config, { netns });
      assert.deepEqual(result.ips ?? [], []);
      assert.equal(link('eth0', netns)!.operstate, 'UP');
      assert.deepEqual(addresses('eth0', netns), []);
      assert.equal(link('tb0')!.address, result.interfaces![0]!.mac);
      await call(subject, 'DEL', config, { netns });
      assert.deepEqual(linkNames(), ['lo', 'tb0']);
    });

    test('isDefaultGateway adds the default route', async () => {
      using world = new World();
      const netns = world.netns('a');
      const ipam = { type: 'host-local', subnet: '10.99.0.0/24', dataDir: world.dataDir };
      const result = await call(
        subject,
        'ADD',
        bridgeConfig(world, { isGateway: false, isDefaultGateway: true, ipam }),
        { netns },
      );
      assert.deepEqual(result.routes, [{ dst: '0.0.0.0/0', gw: '10.99.0.1' }]);
      assert.ok(routes(netns).some(({ dst, gateway }) => dst === 'default' && gateway === '10.99.0.1'));
    });

    test('mtu, hairpin mode and a given MAC', async () => {
      using world = new World();
      const netns = world.netns('a');
      const mac = 'c2:11:22:33:44:55';
      const config = bridgeConfig(world, { mtu: 1400, hairpinMode: true, runtimeConfig: { mac } });
      const result = await call(subject, 'ADD', config, { netns });
      assert.equal(result.interfaces![2]!.mac, mac);
      assert.equal(link('eth0', netns)!.address, mac);
      assert.equal(link('eth0', netns)!.mtu, 1400);
      const host = link(result.interfaces![1]!.name)!;
      assert.deepEqual([host.mtu, host.linkinfo!.info_slave_data!.hairpin], [1400, true]);
    });

    test('promiscuous mode', async () => {
      using world = new World();
      await call(subject, 'ADD', bridgeConfig(world, { promiscMode: true }), { netns: world.netns('a') });
      assert.ok(link('tb0')!.flags.includes('PROMISC'));
      const both = bridgeConfig(world, { promiscMode: true, hairpinMode: true });
      const error = await failureOf(
        call(subject, 'ADD', both, { containerID: 'b', netns: world.netns('b') }),
      );
      assert.match(error.message, /cannot set hairpin mode and promiscuous mode at the same time/);
    });

    test('a name that is taken by something else', async () => {
      using world = new World();
      run('ip', 'link', 'add', 'tb0', 'type', 'veth', 'peer', 'name', 'tb0peer');
      const error = await failureOf(call(subject, 'ADD', bridgeConfig(world), { netns: world.netns('a') }));
      assert.match(error.message, /"?tb0"? already exists but is not a bridge/);
    });

    test('a bridge with an address of another network (NET-05)', async () => {
      using world = new World();
      // The reference fails on a bridge that follows its ports' addresses and has none left.
      const mac = subject.isOurs ? [] : ['address', '02:00:00:00:00:99'];
      run('ip', 'link', 'add', 'tb0', ...mac, 'type', 'bridge');
      run('ip', 'address', 'add', '10.98.0.1/24', 'dev', 'tb0');
      const netns = world.netns('a');
      const error = await failureOf(call(subject, 'ADD', bridgeConfig(world), { netns }));
      assert.match(error.message, /"tb0" already has an IP address different from 10\.99\.0\.1\/24/);
      await call(subject, 'DEL', bridgeConfig(world), { netns });
      assert.deepEqual(addresses('tb0'), ['10.98.0.1/24']);
      await call(subject, 'ADD', bridgeConfig(world, { forceAddress: true }), { netns });
      assert.deepEqual(addresses('tb0'), ['10.99.0.1/24']);
    });

    test('a gateway address that somebody removed comes back with the next pod (NET-06)', async () => {
      using world = new World();
      const config = bridgeConfig(world);
      await call(subject, 'ADD', config, { containerID: 'a', netns: world.netns('a') });
      run('ip', 'address', 'del', '10.99.0.1/24', 'dev', 'tb0');
      await call(subject, 'ADD', config, { containerID: 'b', netns: world.netns('b') });
      assert.deepEqual(addresses('tb0'), ['10.99.0.1/24']);
    });

    test('thirty pods at once on a bridge that is not there yet (NET-06)', async () => {
      using world = new World();
      const config = bridgeConfig(world);
      const pods = Array.from({ length: subject.isExecutable ? 6 : 30 }, (_, i) => ({
        containerID: `c${i}`,
        netns: world.netns(`n${i}`),
      }));
      const results = await Promise.all(pods.map((pod) => call(subject, 'ADD', config, pod)));
      assert.deepEqual(addresses('tb0'), ['10.99.0.1/24']);
      const given = results.map(({ ips }) => ips![0]!.address);
      assert.equal(new Set(given).size, pods.length);
      await Promise.all(
        pods.map((pod, i) => call(subject, 'DEL', config, { ...pod, prevResult: results[i] })),
      );
      assert.deepEqual(linkNames(), ['lo', 'tb0']);
      assert.deepEqual(world.reservations('testnet'), []);
    });

    test('DEL without a namespace: gone, empty path, plain file (CNI-06)', async () => {
      using world = new World();
      const config = bridgeConfig(world, { ipMasq: true });
      const netns = world.netns('a');
      const result = await call(subject, 'ADD', config, { netns });
      unpinNamespace(netns);
      await call(subject, 'DEL', config, { netns, prevResult: result });
      assert.deepEqual(world.reservations('testnet'), []);
      await call(subject, 'DEL', config, { netns: '', prevResult: result });
      await call(subject, 'DEL', config, { containerID: 'never-added', netns });
      if (!subject.isOurs) return;
      // The reference fails on a path that is no namespace any more.
      writeFileSync(join(world.dir, 'plain'), '');
      await call(subject, 'DEL', config, { netns: join(world.dir, 'plain') });
    });

    test('CHECK fails for each thing that is broken', async () => {
      using world = new World();
      const config = bridgeConfig(world);
      const breaks: Record<string, (netns: string, hostEnd: string) => void> = {
        address: (netns) => run('nsenter', `--net=${netns}`, 'ip', 'address', 'flush', 'dev', 'eth0'),
        route: (netns) => run('nsenter', `--net=${netns}`, 'ip', 'route', 'del', 'default'),
        interface: (netns) => run('nsenter', `--net=${netns}`, 'ip', 'link', 'del', 'eth0'),
        mac: (netns) =>
          run('nsenter', `--net=${netns}`, 'ip', 'link', 'set', 'eth0', 'address', '02:00:00:00:00:01'),
      };
      if (subject.isOurs) breaks.port = (_netns, hostEnd) => run('ip', 'link', 'set', hostEnd, 'nomaster');
      for (const [what, breakIt] of Object.entries(breaks)) {
        const pod = { containerID: `c-${what}`, netns: world.netns(what) };
        const prevResult = await call(subject, 'ADD', config, pod);
        await call(subject, 'CHECK', config, { ...pod, prevResult });
        breakIt(pod.netns, prevResult.interfaces![1]!.name);
        const error = await failureOf(call(subject, 'CHECK', config, { ...pod, prevResult }));
        if (subject.isOurs) assert.equal(error.number, 100, what);
      }
    });

    test('IPAM that is not there', async () => {
      using world = new World();
      const config = bridgeConfig(world, { ipam: { type: 'no-such-ipam' } });
      const error = await failureOf(call(subject, 'ADD', config, { netns: world.netns('a') }));
      assert.match(error.message, /failed to find plugin "no-such-ipam" in path/);
    });

    oursOnly(subject);
  });
}

/** Where we do better than the reference; docs/plugins/bridge.md names these differences. */
function oursOnly(subject: Subject): void {
  const skip = subject.isOurs ? false : 'the reference leaves things behind or touches those of others';

  test('a failed ADD leaves nothing (CNI-09)', { skip }, async () => {
    using world = new World();
    const before = linkNames();
    const full = {
      type: 'host-local',
      subnet: '10.99.0.0/29',
      rangeStart: '10.99.0.2',
      rangeEnd: '10.99.0.2',
      dataDir: world.dataDir,
    };
    const config = bridgeConfig(world, { ipam: full });
    const first = { containerID: 'a', netns: world.netns('a') };
    const prevResult = await call(subject, 'ADD', config, first);
    const netns = world.netns('b');
    const error = await failureOf(call(subject, 'ADD', config, { containerID: 'b', netns }));
    assert.match(
      error.message,
      /failed to allocate for range 0: no IP addresses available in range set: 10\.99\.0\.2-10\.99\.0\.2/,
    );
    assert.equal(link('eth0', netns), undefined);
    await call(subject, 'CHECK', config, { ...first, prevResult });
    await call(subject, 'DEL', config, { ...first, prevResult });
    run('ip', 'link', 'del', 'tb0');
    assert.deepEqual(linkNames(), before);

    await failureOf(call(subject, 'ADD', bridgeConfig(world, { ipam: { type: 'no-such-ipam' } }), { netns }));
    await failureOf(call(subject, 'ADD', bridgeConfig(world), { netns: '/no/such/netns' }));
    assert.deepEqual(linkNames(), before);
    assert.deepEqual(world.reservations('testnet'), []);
  });

  test('a second ADD is an error and changes nothing (CNI-03)', { skip }, async () => {
    using world = new World();
    const config = bridgeConfig(world);
    const netns = world.netns('a');
    const prevResult = await call(subject, 'ADD', config, { netns });
    const before = linkNames();
    const error = await failureOf(call(subject, 'ADD', config, { netns }));
    assert.match(error.message, /already exists/);
    assert.deepEqual(linkNames(), before);
    assert.deepEqual(world.reservations('testnet'), ['10.99.0.2']);
    await call(subject, 'CHECK', config, { netns, prevResult });
    const second = await call(subject, 'ADD', config, { netns, ifName: 'net1' });
    await call(subject, 'DEL', config, { netns, ifName: 'net1', prevResult: second });
    await call(subject, 'CHECK', config, { netns, prevResult });
  });

  test('a late DEL does not touch the new owner of the namespace', { skip }, async () => {
    using world = new World();
    const config = bridgeConfig(world, { ipMasq: true });
    const netns = world.netns('a');
    const old = {
      containerID: 'old',
      netns,
      prevResult: await call(subject, 'ADD', config, { containerID: 'old', netns }),
    };
    await call(subject, 'DEL', config, old);
    const ipam = { ...config.ipam!, rangeStart: '10.99.0.2', rangeEnd: '10.99.0.2' };
    const prevResult = await call(subject, 'ADD', { ...config, ipam }, { containerID: 'new', netns });
    assert.equal(prevResult.ips![0]!.address, old.prevResult.ips![0]!.address);
    await call(subject, 'DEL', config, old);
    await call(subject, 'CHECK', { ...config, ipam }, { containerID: 'new', netns, prevResult });
  });

  test('what is made carries its owner, and GC removes what has none', { skip }, async () => {
    using world = new World();
    const config = bridgeConfig(world, { ipMasq: true });
    const keep = { containerID: 'keep', netns: world.netns('a') };
    const lost = { containerID: 'lost', netns: world.netns('b') };
    const prevResult = await call(subject, 'ADD', config, keep);
    const gone = await call(subject, 'ADD', config, lost);
    assert.equal(link(gone.interfaces![1]!.name)!.ifalias, 'cni testnet lost/eth0');
    await call(subject, 'GC', config, { validAttachments: [{ containerID: 'keep', ifName: 'eth0' }] });
    assert.equal(link(gone.interfaces![1]!.name), undefined);
    assert.deepEqual(world.reservations('testnet'), ['10.99.0.2']);
    assert.doesNotMatch(run('nft', 'list', 'ruleset'), /lost/);
    await call(subject, 'CHECK', config, { ...keep, prevResult });
  });

  test('port isolation', { skip }, async () => {
    using world = new World();
    const result = await call(subject, 'ADD', bridgeConfig(world, { portIsolation: true }), {
      netns: world.netns('a'),
    });
    assert.equal(link(result.interfaces![1]!.name)!.linkinfo!.info_slave_data!.isolated, true);
  });

  test('values that are wrong are named, with code 7', { skip }, async () => {
    using world = new World();
    const netns = world.netns('a');
    const wrong: [object, string][] = [
      [{ ipMasqBackend: 'pf' }, 'unknown ipmasq backend "pf"'],
      [{ mtu: 'big' }, 'key "mtu": got "big", want an integer from 0 to 65535'],
      [{ vlan: 4095 }, 'invalid VLAN ID 4095 (must be between 0 and 4094)'],
    ];
    for (const [keys, message] of wrong) {
      const error = await failureOf(call(subject, 'ADD', bridgeConfig(world, keys), { netns }));
      assert.deepEqual([error.number, error.msg], [7, message]);
    }
  });
}
