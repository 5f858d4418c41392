import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { subjects } from './lib/subjects.ts';
import { eth0Routes, podWithTwoNetworks, rules, sbr, table, v4, v6 } from './lib/two-networks.ts';
import { call, failureOf, inPod, ipInPod, World } from './lib/world.ts';

for (const subject of subjects) {
  describe(`sbr, ${subject.name}`, () => {
    test('routes of the interface are in a table of its own, and the result is as before', async () => {
      using world = new World();
      const attachment = podWithTwoNetworks(world, [v4], ['route add 10.7.0.0/16 via 10.99.0.9']);
      const { netns, prevResult } = attachment;
      assert.deepEqual(await call(subject, 'ADD', sbr, attachment), prevResult);
      assert.deepEqual(rules(netns), ['10.99.0.2 → 100']);
      assert.deepEqual(table(netns, 100), [
        'default via 10.99.0.1 dev net1',
        '10.7.0.0/16 via 10.99.0.9 dev net1',
        '10.99.0.0/24 dev net1 proto kernel scope link src 10.99.0.2',
      ]);
      assert.deepEqual(table(netns, 'main'), eth0Routes);
      assert.match(
        inPod(netns, 'ip', 'route', 'get', '10.1.1.1', 'from', '10.99.0.2'),
        /via 10\.99\.0\.1 dev net1/,
      );
      assert.match(inPod(netns, 'ip', 'route', 'get', '10.1.1.1'), /via 10\.88\.0\.1 dev eth0/);
      await call(subject, 'CHECK', sbr, attachment);
      await call(subject, 'DEL', sbr, attachment);
      assert.deepEqual(rules(netns), []);
      await call(subject, 'DEL', sbr, attachment);
    });

    test('a default route of the interface moves too', async () => {
      using world = new World();
      const attachment = podWithTwoNetworks(
        world,
        [{ address: v4.address }],
        ['route add default via 10.99.0.7 metric 50'],
      );
      await call(subject, 'ADD', sbr, attachment);
      assert.deepEqual(table(attachment.netns, 100), [
        'default via 10.99.0.7 dev net1 metric 50',
        '10.99.0.0/24 dev net1 proto kernel scope link src 10.99.0.2',
      ]);
      assert.deepEqual(table(attachment.netns, 'main'), eth0Routes);
    });

    test('each address has a table, of both families', async () => {
      using world = new World();
      const second = { address: '10.98.0.2/24', gateway: '10.98.0.1' };
      const attachment = podWithTwoNetworks(world, [v4, second, v6]);
      const { netns } = attachment;
      await call(subject, 'ADD', sbr, attachment);
      assert.deepEqual(rules(netns), ['10.99.0.2 → 100', '10.98.0.2 → 101', 'fd00:99::2 → 102']);
      // The reference copies IPv6 routes to the tables of IPv4 addresses too.
      const isIpv4 = (line: string) => !line.includes(':');
      assert.deepEqual(table(netns, 100).filter(isIpv4), [
        'default via 10.99.0.1 dev net1',
        '10.99.0.0/24 dev net1 proto kernel scope link src 10.99.0.2',
      ]);
      assert.deepEqual(table(netns, 101).filter(isIpv4), [
        'default via 10.98.0.1 dev net1',
        '10.98.0.0/24 dev net1 proto kernel scope link src 10.98.0.2',
      ]);
      assert.deepEqual(table(netns, 102).sort(), [
        'default via fd00:99::1 dev net1',
        'fd00:99::/64 dev net1 proto kernel metric 256',
      ]);
      assert.deepEqual(table(netns, 'main'), eth0Routes);
      await call(subject, 'DEL', sbr, attachment);
      assert.deepEqual(rules(netns), []);
    });

    test('tables that rules lead to are not taken', async () => {
      using world = new World();
      const attachment = podWithTwoNetworks(world, [v4]);
      ipInPod(attachment.netns, 'rule add from 10.1.1.1 table 100', 'rule add from 10.1.1.2 table 102');
      await call(subject, 'ADD', sbr, attachment);
      assert.deepEqual(rules(attachment.netns), ['10.1.1.1 → 100', '10.99.0.2 → 101', '10.1.1.2 → 102']);
      await call(subject, 'DEL', sbr, attachment);
      assert.deepEqual(rules(attachment.netns), ['10.1.1.1 → 100', '10.1.1.2 → 102']);
    });

    test('addresses of other interfaces are left alone', async () => {
      using world = new World();
      const attachment = podWithTwoNetworks(world, [v4]);
      const { prevResult, netns } = attachment;
      const interfaces = [...prevResult.interfaces!, { name: 'eth0', sandbox: netns }];
      const ips = [...prevResult.ips!, { address: '10.88.0.2/24', gateway: '10.88.0.1', interface: 2 }];
      await call(subject, 'ADD', sbr, { ...attachment, prevResult: { interfaces, ips } });
      assert.deepEqual(rules(netns), ['10.99.0.2 → 100']);
      assert.deepEqual(table(netns, 'main'), eth0Routes);
    });

    test('what is asked for wrongly changes nothing', async () => {
      using world = new World();
      const attachment = podWithTwoNetworks(world, [v4]);
      const { netns, prevResult } = attachment;
      const before = table(netns, 'all');
      const add = (config: typeof sbr, more: object) =>
        failureOf(call(subject, 'ADD', config, { ...attachment, ...more }));
      const unchained = await add(sbr, { prevResult: undefined });
      assert.match(unchained.message, /This plugin must be called as chained plugin/);
      const noAddress = await add(sbr, { prevResult: { ...prevResult, ips: [] } });
      assert.match(noAddress.message, /No IP addresses supplied on interface: net1/);
      const noLink = await add(sbr, { ifName: 'net2', prevResult: { ips: [{ address: v4.address }] } });
      assert.match(noLink.message, /Cannot find network interface net2: Link not found/);
      assert.deepEqual(table(netns, 'all'), before);
      assert.deepEqual(rules(netns), []);
    });

    test('DEL without namespace, interface and result', async () => {
      using world = new World();
      const attachment = podWithTwoNetworks(world, [v4]);
      await call(subject, 'DEL', sbr, { ...attachment, prevResult: undefined });
      if (!subject.isOurs) return;
      // Debian's reference fails on them.
      await call(subject, 'DEL', sbr, { ...attachment, ifName: 'net7' });
      await call(subject, 'DEL', sbr, { ...attachment, netns: '' });
      await call(subject, 'DEL', sbr, { ...attachment, netns: '/nonexistent' });
      await call(subject, 'DEL', { ...sbr, table: 'x' }, attachment);
    });
  });
}
