import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { unpinNamespace } from '@amphipod/linux';
import { bridgeConfig, dualStack } from './lib/configs.ts';
import { subjects } from './lib/subjects.ts';
import { addresses, call, failureOf, inPod, link, linkNames, routes, run, World } from './lib/world.ts';

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
      assert.equal(inPod(netns, 'sysctl', '-n', 'net.ipv4.conf.eth0.arp_notify').trim(), '1');
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
      inPod(a, 'busybox', 'ping', '-c', '1', '-w', '3', target);
      inPod(a, 'busybox', 'ping', '-c', '1', '-w', '3', '10.99.0.1');
    });

    test('both families', async () => {
      using world = new World();
      const netns = world.netns('a');
      const config = bridgeConfig(world, { ipam: dualStack(world) });
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
        address: (netns) => inPod(netns, 'ip', 'address', 'flush', 'dev', 'eth0'),
        route: (netns) => inPod(netns, 'ip', 'route', 'del', 'default'),
        interface: (netns) => inPod(netns, 'ip', 'link', 'del', 'eth0'),
        mac: (netns) => inPod(netns, 'ip', 'link', 'set', 'eth0', 'address', '02:00:00:00:00:01'),
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
  });
}
