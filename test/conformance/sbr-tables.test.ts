/** What the reference's sbr of Debian 12 (1.1.1) lacks. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { subjects } from './lib/subjects.ts';
import { eth0Routes, podWithTwoNetworks, rules, sbr, table, v4, v6 } from './lib/two-networks.ts';
import { call, failureOf, ipInPod, run, World } from './lib/world.ts';

for (const subject of subjects.filter(({ isOurs }) => isOurs)) {
  describe(`sbr, more than the reference here, ${subject.name}`, () => {
    test('a table of the configuration gets rules alone (reference 1.3)', async () => {
      using world = new World();
      const attachment = podWithTwoNetworks(world, [v4, v6], ['route add default via 10.99.0.1 table 7000']);
      const { netns } = attachment;
      const before = table(netns, 'all');
      const config = { ...sbr, table: 7000 };
      await call(subject, 'ADD', config, attachment);
      assert.deepEqual(rules(netns), ['10.99.0.2 → 7000', 'fd00:99::2 → 7000']);
      assert.deepEqual(table(netns, 'all'), before);
      await call(subject, 'CHECK', config, attachment);
      ipInPod(netns, 'rule add from 10.99.0.2 table 100');
      await call(subject, 'DEL', config, attachment);
      assert.deepEqual(rules(netns), ['10.99.0.2 → 100']);
      assert.deepEqual(table(netns, 'all'), before);
      const wrong = await failureOf(call(subject, 'ADD', { ...sbr, table: 0 }, attachment));
      assert.match(wrong.message, /key "table": got 0, want an integer from 1/);
    });

    test('gateways of the configuration take the place of every other (reference 1.9)', async () => {
      using world = new World();
      const attachment = podWithTwoNetworks(world, [v4, v6], ['route add default via 10.99.0.7 metric 50']);
      const { netns } = attachment;
      const config = { ...sbr, gateways: ['10.99.0.254', 'fd00:99::fe'] };
      await call(subject, 'ADD', config, attachment);
      assert.deepEqual(
        table(netns, 100).filter((line) => line.startsWith('default')),
        ['default via 10.99.0.254 dev net1'],
      );
      assert.deepEqual(
        table(netns, 101).filter((line) => line.startsWith('default')),
        ['default via fd00:99::fe dev net1'],
      );
      await call(subject, 'CHECK', config, attachment);
      const messageOf = async (gateways: string[]) =>
        (await failureOf(call(subject, 'STATUS', { ...sbr, gateways }))).message;
      assert.match(
        await messageOf(['1.1.1.1', '::1', '::2']),
        /gateways list cannot contain more than 2 entries/,
      );
      assert.match(
        await messageOf(['1.1.1.1', '1.1.1.2']),
        /gateways list contains multiple IPv4 addresses: 1\.1\.1\.1 and 1\.1\.1\.2/,
      );
      assert.match(await messageOf(['1.1.1']), /invalid static gateway IP address: 1\.1\.1/);
    });

    test('addSourceHints keeps the way to the network, with the address to use (reference 1.9)', async () => {
      using world = new World();
      const attachment = podWithTwoNetworks(world, [v4, v6], ['route add default via 10.99.0.1 metric 50']);
      const { netns } = attachment;
      const config = { ...sbr, addSourceHints: true };
      await call(subject, 'ADD', config, attachment);
      assert.deepEqual(table(netns, 'main'), [
        ...eth0Routes,
        '10.99.0.0/24 dev net1 scope link src 10.99.0.2',
        'fd00:99::/64 dev net1 src fd00:99::2',
      ]);
      assert.equal(table(netns, 100).length, 3);
      await call(subject, 'CHECK', config, attachment);
      ipInPod(netns, 'route del 10.99.0.0/24 dev net1');
      const failure = await failureOf(call(subject, 'CHECK', config, attachment));
      assert.match(failure.message, /route to 10\.99\.0\.0\/24 with source 10\.99\.0\.2 is missing/);
    });

    test('hints leave the same network of another interface alone', async () => {
      using world = new World();
      const attachment = podWithTwoNetworks(world, [{ address: '10.88.0.7/24', gateway: '10.88.0.1' }]);
      await call(subject, 'ADD', { ...sbr, addSourceHints: true }, attachment);
      assert.deepEqual(table(attachment.netns, 'main'), [
        ...eth0Routes,
        '10.88.0.0/24 dev net1 scope link src 10.88.0.7',
      ]);
    });

    test('CHECK fails for a missing rule, and for a table without its default route', async () => {
      using world = new World();
      const attachment = podWithTwoNetworks(world, [v4]);
      const { netns } = attachment;
      await call(subject, 'ADD', sbr, attachment);
      ipInPod(netns, 'route del default table 100');
      const noRoute = await failureOf(call(subject, 'CHECK', sbr, attachment));
      assert.match(noRoute.message, /default route of 10\.99\.0\.2 is missing in table 100/);
      ipInPod(netns, 'route add default via 10.99.0.1 dev net1 table 100');
      await call(subject, 'CHECK', sbr, attachment);
      ipInPod(netns, 'rule del from 10.99.0.2');
      const noRule = await failureOf(call(subject, 'CHECK', sbr, attachment));
      assert.match(noRule.message, /rule for source 10\.99\.0\.2 to a table of its own is missing/);
      assert.equal(noRule.number, 100);
    });

    test('a table that has routes is not free, and DEL empties those it filled', async () => {
      using world = new World();
      const attachment = podWithTwoNetworks(world, [v4], ['route add 10.7.0.0/16 via 10.88.0.1 table 100']);
      const { netns } = attachment;
      for (let again = 0; again < 2; again++) {
        await call(subject, 'ADD', sbr, attachment);
        assert.deepEqual(rules(netns), ['10.99.0.2 → 101']);
        await call(subject, 'DEL', sbr, attachment);
        assert.deepEqual(table(netns, 101), []);
        // What was in the main table goes with the interface.
        ipInPod(netns, 'route add 10.99.0.0/24 dev net1 src 10.99.0.2');
      }
      assert.deepEqual(table(netns, 100), ['10.7.0.0/16 via 10.88.0.1 dev eth0']);
    });

    test('an interface without addresses keeps its routes', async () => {
      using world = new World();
      const attachment = podWithTwoNetworks(world, [v4]);
      const { prevResult, netns } = attachment;
      const interfaces = [...prevResult.interfaces!, { name: 'eth0', sandbox: netns }];
      const elsewhere = { interfaces, ips: [{ address: '10.88.0.2/24', interface: 2 }] };
      assert.deepEqual(await call(subject, 'ADD', sbr, { ...attachment, prevResult: elsewhere }), elsewhere);
      assert.equal(table(netns, 'main').length, 3);
    });

    test('two interfaces of a pod at once get different tables', async () => {
      using world = new World();
      const attachment = podWithTwoNetworks(world, [v4]);
      const { netns, prevResult } = attachment;
      const other = {
        netns,
        ifName: 'eth0',
        prevResult: {
          interfaces: [{ name: 'eth0', sandbox: netns }],
          ips: [{ address: '10.88.0.2/24', gateway: '10.88.0.1', interface: 0 }],
        },
      };
      await Promise.all([
        call(subject, 'ADD', sbr, { ...attachment, prevResult }),
        call(subject, 'ADD', sbr, other),
      ]);
      const tables = rules(netns).map((line) => line.replace(/.* /, ''));
      assert.deepEqual(tables, ['100', '101']);
    });

    test("a late DEL leaves a new pod's rules alone", async () => {
      using world = new World();
      const attachment = podWithTwoNetworks(world, [v4]);
      await call(subject, 'ADD', sbr, { ...attachment, containerID: 'c2' });
      run('ip', 'link', 'set', 'host-b', 'alias', 'cni testnet c2/net1');
      await call(subject, 'DEL', sbr, attachment);
      assert.deepEqual(rules(attachment.netns), ['10.99.0.2 → 100']);
      await call(subject, 'DEL', sbr, { ...attachment, containerID: 'c2' });
      assert.deepEqual(rules(attachment.netns), []);
    });
  });
}
