// The overlay over nodes that are network namespaces: who reaches whom, and what is mended.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leasesPrefix, openEmbeddedDatastore } from '@amphipod/fabric';
import { formatIp } from '@amphipod/netlink';
import { createCluster, type TestNode, type UnderlayKind, unreachablePods, until } from './nodes.ts';
import {
  dualStack,
  prefix,
  type RunningNode,
  seen,
  startAll,
  startNode,
  stopAll,
  untilAllReach,
  untilNothingToMend,
} from './overlays.ts';
import { monitorNeighbours, startTraffic } from './traffic.ts';

const shapes: [string, object, UnderlayKind, number][] = [
  ['vxlan over routers', { Type: 'vxlan' }, 'routed', 1430],
  ['vxlan with DirectRouting on one link', { Type: 'vxlan', DirectRouting: true }, 'switched', 1430],
  ['host-gw on one link', { Type: 'host-gw' }, 'switched', 1500],
];
for (const [name, backend, kind, mtu] of shapes) {
  test(`${name}: every pod reaches every pod, both families, with packets of the full size`, async () => {
    using cluster = createCluster(5, kind);
    await using store = openEmbeddedDatastore(':memory:');
    const running = await startAll(cluster.nodes, store, dualStack(backend));
    try {
      for (const { overlay } of running) {
        assert.equal(overlay.mtu, mtu);
        assert.deepEqual(overlay.passedOver, []);
      }
      await untilAllReach({ nodes: cluster.nodes, mtu });
    } finally {
      await stopAll(running);
    }
    // What is set up stays when the agents go.
    assert.deepEqual(await unreachablePods(cluster.nodes, mtu), []);
  });
}

test('what is not ours is left alone', async () => {
  using cluster = createCluster(2, 'routed');
  await using store = openEmbeddedDatastore(':memory:');
  const [node] = cluster.nodes as [TestNode];
  node.netns.run('nft', 'add', 'table', 'inet', 'theirs');
  node.netns.run('ip', 'route', 'add', '10.99.0.0/16', 'via', '198.51.1.1');
  const running = await startAll(cluster.nodes, store, dualStack({ Type: 'vxlan' }));
  await stopAll(running);
  assert.match(node.netns.run('nft', 'list', 'tables'), /table inet theirs/);
  assert.match(node.netns.run('ip', 'route'), /^10\.99\.0\.0\/16 via 198\.51\.1\.1/m);
});

test('OVL-01: a node that is replaced leaves nothing behind: new address, new hardware address, both with the old subnet, new subnet', async () => {
  using cluster = createCluster(3, 'switched');
  await using store = openEmbeddedDatastore(':memory:');
  const running = await startAll(cluster.nodes, store, dualStack({ Type: 'vxlan' }));
  try {
    const [first, second] = running as [RunningNode, RunningNode];
    const { key } = (await store.list(leasesPrefix(prefix))).entries.find(({ value }) =>
      value.includes(second.node.ip),
    )!;
    const value = (await store.get(key))!.value;
    await second.overlay[Symbol.asyncDispose]();
    const other = running[2]!.overlay.lease;
    const changes: [string, string][] = [
      [key, value.replace(second.node.ip, '192.0.2.77')],
      [key, value.replace(/"VtepMAC":"[^"]*"/, '"VtepMAC":"02:aa:aa:aa:aa:aa"')],
      [
        key,
        value
          .replace(second.node.ip, '192.0.2.77')
          .replace(/"VtepMAC":"[^"]*"/, '"VtepMAC":"02:aa:aa:aa:aa:ab"'),
      ],
      [key.replace(/10\.244\.\d+\.0/, '10.244.200.0'), value],
    ];
    for (const [newKey, newValue] of changes) {
      for (const { key: old, value: text } of (await store.list(leasesPrefix(prefix))).entries) {
        if (text.includes('02:aa:') || text.includes('192.0.2.77') || text === value) await store.delete(old);
      }
      await store.put(newKey, newValue);
      const { PublicIP, BackendData } = JSON.parse(newValue) as {
        PublicIP: string;
        BackendData: { VtepMAC: string };
      };
      const subnet = /10\.244\.\d+\.0/.exec(newKey)![0];
      const { publicIp, vtepMac } = other.attributes;
      assert.ok(publicIp !== undefined);
      const wanted = [
        `${BackendData.VtepMAC} dst ${PublicIP} self permanent`,
        `${vtepMac} dst 192.0.2.3 self permanent`,
      ];
      await until(`only the live peers are there after ${newValue}`, () => {
        const { fdb, neighbours, routes } = seen(first.node);
        return (
          JSON.stringify(fdb) === JSON.stringify(wanted.toSorted()) &&
          neighbours.length === 2 &&
          neighbours.some((line) => line.startsWith(`${subnet} lladdr ${BackendData.VtepMAC} `)) &&
          routes.length === 2 &&
          routes.some((line) => line.startsWith(`${subnet}/24 via ${subnet} `))
        );
      });
    }
  } finally {
    await stopAll(running);
  }
});

test('OVL-02: a foreign entry with a live node’s hardware address goes, the live one is never touched', async () => {
  using cluster = createCluster(2, 'switched');
  await using store = openEmbeddedDatastore(':memory:');
  const running = await startAll(cluster.nodes, store, dualStack({ Type: 'vxlan' }));
  try {
    const [first, second] = running as [RunningNode, RunningNode];
    await untilAllReach({ nodes: cluster.nodes, mtu: 1430 });
    const before = seen(first.node);
    const { vtepMac, publicIp } = second.overlay.lease.attributes;
    const { subnet } = second.overlay.lease;
    assert.ok(vtepMac !== undefined && publicIp !== undefined && subnet !== undefined);
    await using traffic = startTraffic(first.node.pod, second.node.podIps[0]!);
    await using monitor = await monitorNeighbours(first.node.netns, 'flannel.1');
    const foreign = '10.99.7.0';
    const add = ['add', foreign, 'lladdr', vtepMac, 'dev', 'flannel.1', 'nud', 'permanent'];
    for (let round = 1; round <= 10; round++) {
      first.node.netns.run('ip', 'neigh', ...add);
      await until(
        'the foreign entry goes',
        () => monitor.output().split(`Deleted ${foreign} `).length > round,
      );
    }
    await traffic.untilAnswered(5);
    assert.deepEqual(seen(first.node), before);
    assert.ok(!monitor.output().includes(formatIp(subnet.ip)), monitor.output());
    assert.equal(traffic.count().lost, 0);
  } finally {
    await stopAll(running);
  }
});

test('OVL-03: learning is off; an entry that was learned, right or wrong, becomes one that stays', async () => {
  using cluster = createCluster(2, 'switched');
  await using store = openEmbeddedDatastore(':memory:');
  // As another program may have left it.
  const [before] = cluster.nodes as [TestNode];
  const device = ['type', 'vxlan', 'id', '1', 'dev', 'eth0', 'local', before.ip, 'dstport', '8472'];
  before.netns.run('ip', 'link', 'add', 'flannel.1', 'up', ...device, 'learning');
  const running = await startAll(cluster.nodes, store, dualStack({ Type: 'vxlan' }));
  try {
    const [{ node }, second] = running as [RunningNode, RunningNode];
    assert.match(node.netns.run('ip', '-d', 'link', 'show', 'flannel.1'), / nolearning /);
    const mac = second.overlay.lease.attributes.vtepMac!;
    const wanted = `${mac} dst ${second.node.ip} self permanent`;
    for (const dst of [second.node.ip, '192.0.2.99']) {
      await until('the entry is there', () => seen(node).fdb.includes(wanted));
      node.netns.run('bridge', 'fdb', 'replace', mac, 'dev', 'flannel.1', 'dst', dst, 'self', 'dynamic');
      await until('the entry stays', () => JSON.stringify(seen(node).fdb) === JSON.stringify([wanted]));
    }
  } finally {
    await stopAll(running);
  }
});

test('an agent that comes back finds nothing to mend, and keeps its lease and hardware addresses', async () => {
  using cluster = createCluster(2, 'routed');
  await using store = openEmbeddedDatastore(':memory:');
  const config = dualStack({ Type: 'vxlan' });
  const running = await startAll(cluster.nodes, store, config);
  const [first] = running as [RunningNode];
  await untilNothingToMend(first);
  const before = seen(first.node);
  await first.overlay[Symbol.asyncDispose]();
  const { rtnl, nft } = first.node.kernel;
  const again = await startNode({ ...first.node, kernel: { rtnl, nft } }, store, config);
  try {
    // The rules are written once, because nobody knows who wrote those that are there.
    assert.equal(again.syncs[0]!.mended, 1);
    assert.deepEqual(again.overlay.lease, first.overlay.lease);
    assert.deepEqual(seen(first.node), before);
  } finally {
    await stopAll([...running, again]);
  }
});

test('a lease that was deleted is written again; one that another node has ends the overlay', async () => {
  using cluster = createCluster(2, 'routed');
  await using store = openEmbeddedDatastore(':memory:');
  const running = await startAll(cluster.nodes, store, dualStack({ Type: 'vxlan' }));
  try {
    const [{ node, overlay }] = running as [RunningNode];
    const own = (await store.list(leasesPrefix(prefix))).entries.find(({ value }) =>
      value.includes(`"${node.ip}"`),
    )!;
    await store.delete(own.key);
    await until('the lease is there again', async () => (await store.get(own.key))?.value === own.value);
    await store.put(own.key, own.value.replace(node.ip, '203.0.113.9'));
    await assert.rejects(overlay.ended, { code: 'lease-lost', message: /is not this node's any more/ });
  } finally {
    await stopAll(running);
  }
});
