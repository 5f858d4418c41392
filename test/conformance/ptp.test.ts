import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { unpinNamespace } from '@amphipod/linux';
import { dualStack, hostLocal } from './lib/configs.ts';
import { type Subject, subjects } from './lib/subjects.ts';
import { addresses, type Config, call, failureOf, inPod, link, linkNames, run, World } from './lib/world.ts';

function ptpConfig(world: World, more: object = {}): Config {
  return { type: 'ptp', ipam: hostLocal(world), ...more };
}

/** Lines of `ip route`, without what the kernel adds. */
function routeLines(netns: string | undefined, family: '-4' | '-6'): string[] {
  const enter = netns === undefined ? [] : ['nsenter', `--net=${netns}`];
  const [program, ...args] = [...enter, 'ip', family, 'route', 'show'];
  return run(program!, ...args)
    .split('\n')
    .map((line) =>
      line
        .replace(/veth[0-9a-f]{8}/, 'VETH')
        .replace(/ linkdown| pref medium/g, '')
        .trim(),
    )
    .filter((line) => line !== '' && !line.startsWith('fe80::') && !line.includes('proto kernel'))
    .sort();
}

function ping(netns: string, target: string): void {
  inPod(netns, 'busybox', 'ping', '-c', '1', '-w', '4', target);
}

for (const subject of subjects) {
  describe(`ptp, ${subject.name}`, () => {
    test('ADD connects by routes, CHECK agrees, DEL takes all away and may be repeated', async () => {
      using world = new World();
      const netns = world.netns('a');
      const config = ptpConfig(world, { mtu: 1400 });
      const result = await call(subject, 'ADD', config, { netns });
      const [hostEnd, podEnd] = result.interfaces!;
      assert.equal(result.interfaces!.length, 2);
      assert.deepEqual([podEnd!.name, podEnd!.sandbox], ['eth0', netns]);
      assert.deepEqual(result.ips, [{ address: '10.99.0.2/24', gateway: '10.99.0.1', interface: 1 }]);
      assert.deepEqual(result.routes, [{ dst: '0.0.0.0/0' }]);

      assert.deepEqual(addresses('eth0', netns), ['10.99.0.2/24']);
      assert.deepEqual(addresses(hostEnd!.name), ['10.99.0.1/32']);
      assert.deepEqual([link(hostEnd!.name)!.mtu, link('eth0', netns)!.mtu], [1400, 1400]);
      assert.equal(link(hostEnd!.name)!.address, hostEnd!.mac);
      assert.equal(link('eth0', netns)!.address, podEnd!.mac);
      assert.deepEqual(routeLines(netns, '-4'), [
        '10.99.0.0/24 via 10.99.0.1 dev eth0 src 10.99.0.2',
        '10.99.0.1 dev eth0 scope link src 10.99.0.2',
        'default via 10.99.0.1 dev eth0',
      ]);
      assert.deepEqual(routeLines(undefined, '-4'), ['10.99.0.2 dev VETH scope host']);
      assert.equal(run('sysctl', '-n', 'net.ipv4.ip_forward').trim(), '1');
      assert.equal(run('sysctl', '-n', `net.ipv6.conf.${hostEnd!.name}.accept_ra`).trim(), '0');
      ping(netns, '10.99.0.1');

      await call(subject, 'CHECK', config, { netns, prevResult: result });
      await call(subject, 'DEL', config, { netns, prevResult: result });
      assert.deepEqual(linkNames(), ['lo']);
      assert.deepEqual(routeLines(undefined, '-4'), []);
      assert.deepEqual(world.reservations('testnet'), []);
      await call(subject, 'DEL', config, { netns, prevResult: result });
      await call(subject, 'DEL', config, { netns: '' });
    });

    test('both families: pods reach one another through the host', async () => {
      using world = new World();
      const config = ptpConfig(world, { ipam: dualStack(world) });
      const [a, b] = [world.netns('a'), world.netns('b')];
      await call(subject, 'ADD', config, { containerID: 'a', netns: a });
      const result = await call(subject, 'ADD', config, { containerID: 'b', netns: b });
      assert.deepEqual(
        result.ips!.map(({ address }) => address),
        ['10.99.0.3/24', 'fd00:99::3/64'],
      );
      assert.deepEqual(routeLines(b, '-6'), [
        'default via fd00:99::1 dev eth0 metric 1024',
        'fd00:99::/64 via fd00:99::1 dev eth0 src fd00:99::3 metric 1024',
        'fd00:99::1 dev eth0 src fd00:99::3 metric 1024',
      ]);
      assert.deepEqual(routeLines(undefined, '-6'), [
        'fd00:99::2 dev VETH metric 1024',
        'fd00:99::3 dev VETH metric 1024',
      ]);
      assert.equal(run('sysctl', '-n', 'net.ipv6.conf.all.forwarding').trim(), '1');
      ping(a, '10.99.0.3');
      // The reference's addresses on the host are tentative for up to two seconds (NET-04).
      if (subject.isOurs) {
        assert.doesNotMatch(run('ip', '-6', 'address', 'show'), /tentative/);
        ping(a, 'fd00:99::3');
      }
      await call(subject, 'CHECK', config, { containerID: 'b', netns: b, prevResult: result });
    });

    test('dns of the configuration goes before that of IPAM', async () => {
      using world = new World();
      const dns = { nameservers: ['192.0.2.53'], domain: 'a.test', search: ['b.test'], options: ['ndots:2'] };
      const result = await call(subject, 'ADD', ptpConfig(world, { dns }), { netns: world.netns('a') });
      assert.deepEqual(result.dns, dns);
    });

    test('masquerading comes and goes with the pod', async () => {
      using world = new World();
      const netns = world.netns('a');
      const config = ptpConfig(world, { ipMasq: true });
      const prevResult = await call(subject, 'ADD', config, { netns });
      assert.match(run('nft', 'list', 'ruleset'), /10\.99\.0\.2/);
      await call(subject, 'CHECK', config, { netns, prevResult });
      await call(subject, 'DEL', config, { netns, prevResult });
      assert.doesNotMatch(run('nft', 'list', 'ruleset'), /10\.99\.0\.2/);
    });

    test('CHECK fails for each thing that is broken (CNI-17)', async () => {
      using world = new World();
      const config = ptpConfig(world);
      const breaks: Record<string, (netns: string, hostEnd: string) => void> = {
        address: (netns) => inPod(netns, 'ip', 'address', 'flush', 'dev', 'eth0'),
        'default route': (netns) => inPod(netns, 'ip', 'route', 'del', 'default'),
        interface: (netns) => inPod(netns, 'ip', 'link', 'del', 'eth0'),
        mac: (netns) => inPod(netns, 'ip', 'link', 'set', 'eth0', 'address', '02:00:00:00:00:01'),
      };
      if (subject.isOurs) {
        breaks['network route'] = (netns) => inPod(netns, 'ip', 'route', 'del', '10.99.0.0/24');
        breaks['host route'] = (_netns, hostEnd) => run('ip', 'route', 'flush', 'dev', hostEnd);
        breaks.gateway = (_netns, hostEnd) => run('ip', 'address', 'del', '10.99.0.1/32', 'dev', hostEnd);
        breaks['host end'] = (_netns, hostEnd) => run('ip', 'link', 'set', hostEnd, 'down');
      }
      for (const [what, breakIt] of Object.entries(breaks)) {
        const pod = { containerID: `c-${what.replace(' ', '-')}`, netns: world.netns(what) };
        const prevResult = await call(subject, 'ADD', config, pod);
        await call(subject, 'CHECK', config, { ...pod, prevResult });
        breakIt(pod.netns, prevResult.interfaces![0]!.name);
        const error = await failureOf(call(subject, 'CHECK', config, { ...pod, prevResult }));
        if (subject.isOurs) assert.equal(error.number, 100, what);
      }
      const error = await failureOf(call(subject, 'CHECK', config, { netns: world.netns('none') }));
      // With nothing reserved IPAM speaks first.
      assert.match(error.message, /Failed to find address|Required prevResult missing/);
    });

    test('IPAM is required, and has to be there', async () => {
      using world = new World();
      const netns = world.netns('a');
      await failureOf(call(subject, 'ADD', { type: 'ptp' }, { netns }));
      const missing = ptpConfig(world, { ipam: { type: 'no-such-ipam' } });
      const error = await failureOf(call(subject, 'ADD', missing, { netns }));
      assert.match(error.message, /failed to find plugin "no-such-ipam" in path/);
      assert.equal(link('eth0', netns), undefined);
    });

    test('DEL without a namespace', async () => {
      using world = new World();
      const netns = world.netns('a');
      const config = ptpConfig(world);
      const prevResult = await call(subject, 'ADD', config, { netns });
      unpinNamespace(netns);
      await call(subject, 'DEL', config, { netns, prevResult });
      assert.deepEqual(world.reservations('testnet'), []);
    });

    oursOnly(subject);
  });
}

/** Where we do better than the reference; docs/plugins/ptp.md names these differences. */
function oursOnly(subject: Subject): void {
  const skip = subject.isOurs ? false : 'the reference leaves things behind or touches those of others';

  test('a failed ADD leaves neither link nor address (CNI-09)', { skip }, async () => {
    using world = new World();
    const netns = world.netns('a');
    const config = ptpConfig(world);
    inPod(netns, 'ip', 'link', 'add', 'eth0', 'type', 'bridge');
    const error = await failureOf(call(subject, 'ADD', config, { netns }));
    assert.match(error.message, /container veth name \("eth0"\) already exists/);
    await failureOf(call(subject, 'ADD', config, { netns: '/no/such/netns' }));
    writeFileSync(join(world.dir, 'plain'), '');
    const noDir = { ...config.ipam!, dataDir: join(world.dir, 'plain', 'below') };
    await failureOf(call(subject, 'ADD', { ...config, ipam: noDir }, { netns, ifName: 'net1' }));
    // The host's way to the address is somebody else's.
    run('ip', 'link', 'set', 'lo', 'up');
    run('ip', 'route', 'add', '10.99.0.3', 'dev', 'lo', 'scope', 'host');
    const ipam = { ...config.ipam!, rangeStart: '10.99.0.3', rangeEnd: '10.99.0.3' };
    const taken = await failureOf(call(subject, 'ADD', { ...config, ipam }, { netns, ifName: 'net1' }));
    assert.match(taken.message, /add route 10\.99\.0\.3\/32: EEXIST/);
    run('ip', 'route', 'del', '10.99.0.3');
    assert.deepEqual(linkNames(), ['lo']);
    assert.deepEqual(world.reservations('testnet'), []);
  });

  test('a second ADD is an error and changes nothing (CNI-03)', { skip }, async () => {
    using world = new World();
    const netns = world.netns('a');
    const config = ptpConfig(world, { ipMasq: true });
    const prevResult = await call(subject, 'ADD', config, { netns });
    const error = await failureOf(call(subject, 'ADD', config, { netns }));
    assert.match(error.message, /already exists/);
    assert.deepEqual(world.reservations('testnet'), ['10.99.0.2']);
    await call(subject, 'CHECK', config, { netns, prevResult });
  });

  test('a late DEL does not touch the new owner of namespace and address', { skip }, async () => {
    using world = new World();
    const netns = world.netns('a');
    const base = ptpConfig(world, { ipMasq: true });
    const config = { ...base, ipam: { ...base.ipam!, rangeStart: '10.99.0.2', rangeEnd: '10.99.0.2' } };
    const old = { containerID: 'old', netns };
    const oldResult = await call(subject, 'ADD', config, old);
    await call(subject, 'DEL', config, { ...old, prevResult: oldResult });
    const prevResult = await call(subject, 'ADD', config, { containerID: 'new', netns });
    await call(subject, 'DEL', config, { ...old, prevResult: oldResult });
    await call(subject, 'CHECK', config, { containerID: 'new', netns, prevResult });
  });

  test('GC removes what has no owner', { skip }, async () => {
    using world = new World();
    const config = ptpConfig(world, { ipMasq: true });
    const keep = { containerID: 'keep', netns: world.netns('a') };
    const prevResult = await call(subject, 'ADD', config, keep);
    const lost = await call(subject, 'ADD', config, { containerID: 'lost', netns: world.netns('b') });
    assert.equal(link(lost.interfaces![0]!.name)!.ifalias, 'cni testnet lost/eth0');
    await call(subject, 'GC', config, { validAttachments: [{ containerID: 'keep', ifName: 'eth0' }] });
    assert.equal(link(lost.interfaces![0]!.name), undefined);
    assert.deepEqual(world.reservations('testnet'), ['10.99.0.2']);
    assert.doesNotMatch(run('nft', 'list', 'ruleset'), /lost/);
    await call(subject, 'CHECK', config, { ...keep, prevResult });
  });

  test('routes are still right when the interface went down and up', { skip }, async () => {
    using world = new World();
    const netns = world.netns('a');
    await call(subject, 'ADD', ptpConfig(world), { netns });
    inPod(netns, 'sh', '-c', 'ip link set eth0 down; ip link set eth0 up');
    // What was set is gone, as always; a route that goes past the host must not take its place.
    assert.deepEqual(routeLines(netns, '-4'), []);
    assert.doesNotMatch(inPod(netns, 'ip', 'route'), /10\.99\.0\.0\/24 dev/);
  });

  test('30 pods at once', { skip }, async () => {
    using world = new World();
    const config = ptpConfig(world);
    const pods = Array.from({ length: subject.isExecutable ? 6 : 30 }, (_, i) => ({
      containerID: `c${i}`,
      netns: world.netns(`n${i}`),
    }));
    const results = await Promise.all(pods.map((pod) => call(subject, 'ADD', config, pod)));
    assert.equal(new Set(results.map(({ ips }) => ips![0]!.address)).size, pods.length);
    assert.equal(routeLines(undefined, '-4').length, pods.length);
    await Promise.all(pods.map((pod, i) => call(subject, 'DEL', config, { ...pod, prevResult: results[i] })));
    assert.deepEqual(linkNames(), ['lo']);
    assert.deepEqual(world.reservations('testnet'), []);
  });

  test('mistakes are named', { skip }, async () => {
    using world = new World();
    const netns = world.netns('a');
    const noIpam = await failureOf(call(subject, 'ADD', { type: 'ptp' }, { netns }));
    assert.deepEqual(
      [noIpam.number, noIpam.msg],
      [7, 'key "ipam.type": missing, want the name of an IPAM plugin'],
    );
    const mtu = await failureOf(call(subject, 'ADD', ptpConfig(world, { mtu: -1 }), { netns }));
    assert.deepEqual([mtu.number, mtu.msg], [7, 'key "mtu": got -1, want an integer from 0 to 65535']);
  });

  test('STATUS asks IPAM', { skip }, async () => {
    using world = new World();
    await call(subject, 'STATUS', ptpConfig(world));
    const missing = ptpConfig(world, { ipam: { type: 'no-such-ipam' } });
    assert.match((await failureOf(call(subject, 'STATUS', missing))).message, /no-such-ipam/);
  });
}
