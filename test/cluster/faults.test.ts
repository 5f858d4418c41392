// What happens to agents, leases and nodes, with real agents and a real etcd: the others' traffic goes on, and nothing stale stays.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AgentCluster, type AgentNode, prefix, startAgents, untilAllReach } from './agents.ts';
import { addAddresses, until } from './nodes.ts';
import { startTraffic } from './traffic.ts';

/** A node that is not there, for what is in the store about it. */
const ghost = (mac: string, ip = '192.0.2.200') => ({
  key: `${prefix}/subnets/10.244.250.0-24&fc00:244:0:fa::-64`,
  value: JSON.stringify({
    PublicIP: ip,
    PublicIPv6: '2001:db8::200',
    BackendType: 'vxlan',
    BackendData: { VNI: 1, VtepMAC: mac },
    BackendV6Data: { VNI: 1, VtepMAC: mac.replace(/^02:04/, '02:06') },
  }),
});

/** All lines about other nodes that `bridge` and `ip` have for our devices and our routes. */
function entriesOf({ netns }: AgentNode): string[] {
  const lines = ['flannel.1', 'flannel-v6.1'].flatMap((device) => [
    ...netns.run('bridge', 'fdb', 'show', 'dev', device).split('\n'),
    ...netns.run('ip', 'neigh', 'show', 'dev', device, 'nud', 'permanent').split('\n'),
  ]);
  const routes = ['-4', '-6'].flatMap((family) =>
    netns.run('ip', family, 'route', 'show', 'proto', '97').split('\n'),
  );
  return [...lines, ...routes].map((line) => line.trim()).filter((line) => line !== '');
}

/** Waits until a node has, in each family, one forwarding entry, neighbour and route for each of so many others. */
async function untilPeers(node: AgentNode, count: number): Promise<void> {
  await until(
    `node ${node.number} has entries for ${count} others`,
    () => entriesOf(node).length === 6 * count,
  );
}

function nodesOf({ nodes }: AgentCluster): [AgentNode, AgentNode, AgentNode] {
  return nodes as [AgentNode, AgentNode, AgentNode];
}

/** Does something while the pods of two nodes talk, and sees to it that no packet is lost. */
async function withoutLoss(
  [from, to]: readonly [AgentNode, AgentNode],
  act: () => Promise<void>,
): Promise<void> {
  await using ipv4 = startTraffic(from.pod, to.podIps[0]!);
  await using ipv6 = startTraffic(from.pod, to.podIps[1]!);
  await Promise.all([ipv4.untilAnswered(1), ipv6.untilAnswered(1)]);
  await act();
  await Promise.all([ipv4.untilAnswered(5), ipv6.untilAnswered(5)]);
  assert.deepEqual([ipv4.count().lost, ipv6.count().lost], [0, 0], 'packets between other nodes were lost');
}

test('OVL-01: an agent is killed: its pods go on; it comes back with its lease, and what changed meanwhile is mended', async () => {
  await using cluster = await startAgents(3, { Type: 'vxlan' });
  const [first, second, third] = nodesOf(cluster);
  const gone = ghost('02:04:00:00:00:01');
  await cluster.store.put(gone.key, gone.value);
  await untilPeers(first, 3);
  const before = first.subnets();
  await withoutLoss([first, second], () => first.kill());
  await withoutLoss([first, second], async () => {
    // While nobody looks: a node goes, another has its hardware address, somebody adds what nobody wants.
    const changed = ghost('02:04:00:00:00:02', '192.0.2.201');
    await cluster.store.put(changed.key, changed.value);
    first.netns.run('bridge', 'fdb', 'append', '02:04:00:00:00:09', 'dev', 'flannel.1', 'dst', '192.0.2.99');
    first.netns.run(
      'ip',
      'route',
      'add',
      '10.244.251.0/24',
      'via',
      '10.244.250.0',
      'dev',
      'flannel.1',
      'onlink',
      'proto',
      '97',
    );
    await untilPeers(second, 3);
    assert.ok(entriesOf(first).some((line) => line.startsWith('02:04:00:00:00:01 ')));
    assert.deepEqual(await first.start(), before);
    await untilPeers(first, 3);
    const entries = entriesOf(first).join('\n');
    assert.match(entries, /^02:04:00:00:00:02 dst 192\.0\.2\.201 self permanent$/m);
    assert.doesNotMatch(entries, /02:04:00:00:00:0[19]|192\.0\.2\.99|10\.244\.251\.0/);
  });
  await untilAllReach([first, second, third]);
});

test('a lease runs out: nothing of the node stays anywhere, and the others do not notice', async () => {
  await using cluster = await startAgents(3, { Type: 'vxlan' });
  const [first, second, third] = nodesOf(cluster);
  const { key, value } = ghost('02:04:00:00:00:01');
  await withoutLoss([first, second], async () => {
    await cluster.store.put(key, value, { ttlSeconds: 2 });
    for (const node of [first, second, third]) await untilPeers(node, 3);
    for (const node of [first, second, third]) await untilPeers(node, 2);
  });
});

test('OVL-01: a machine is replaced by one with the same address: it gets the same subnets, and everybody finds its new hardware address', async () => {
  await using cluster = await startAgents(3, { Type: 'vxlan' });
  const [first, second, third] = nodesOf(cluster);
  const before = third.subnets();
  await withoutLoss([first, second], async () => {
    await third.kill();
    third.forget();
    assert.deepEqual(await third.start(), before);
    await untilAllReach([first, second, third]);
    for (const node of [first, second, third]) await untilPeers(node, 2);
  });
});

test('OVL-01: a machine is replaced by one with another address and gets its subnets: nothing of the old one stays', async () => {
  await using cluster = await startAgents(3, { Type: 'vxlan' });
  const [first, second, third] = nodesOf(cluster);
  await withoutLoss([first, second], async () => {
    const { subnet, ipv6Subnet } = third.subnets();
    await third.kill();
    // Somebody takes the node out of the cluster.
    const name = [subnet, ipv6Subnet].map((text) => text.replace('/', '-')).join('&');
    assert.equal(await cluster.store.delete(`${prefix}/subnets/${name}`), true);
    for (const node of [first, second]) await untilPeers(node, 1);
    for (const link of ['flannel.1', 'flannel-v6.1']) third.netns.run('ip', 'link', 'del', link);
    moveTo(third, 33);
    assert.deepEqual(await third.start(), third.subnets());
    await untilAllReach([first, second, third]);
    for (const node of [first, second]) {
      await untilPeers(node, 2);
      assert.doesNotMatch(entriesOf(node).join('\n'), /192\.0\.2\.3\b|2001:db8::3\b/);
    }
  });
});

for (const backend of [{ Type: 'vxlan' }, { Type: 'vxlan', DirectRouting: true }, { Type: 'host-gw' }]) {
  test(`a node's public address changes while its agent runs: it keeps its subnets and is reached there, ${JSON.stringify(backend)}`, async () => {
    await using cluster = await startAgents(3, backend);
    const [first, second, third] = nodesOf(cluster);
    const before = third.subnets();
    await withoutLoss([first, second], async () => {
      moveTo(third, 33);
      await until('its lease has the new address', async () =>
        (await cluster.store.list(`${prefix}/subnets/`)).entries.some(({ value }) =>
          value.includes('"192.0.2.33"'),
        ),
      );
      await untilAllReach([first, second, third]);
    });
    assert.deepEqual(third.subnets(), before);
    assert.equal((await cluster.store.list(`${prefix}/subnets/`)).entries.length, 3);
    for (const node of [first, second]) {
      const routes = ['-4', '-6'].map((family) => node.netns.run('ip', family, 'route')).join('\n');
      assert.doesNotMatch([...entriesOfAny(node), routes].join('\n'), /192\.0\.2\.3\b|2001:db8::3\b/);
    }
  });
}

/** Of the devices that there are: host-gw has none. */
function entriesOfAny(node: AgentNode): string[] {
  return node.netns.run('ip', 'link').includes('flannel.1') ? entriesOf(node) : [];
}

/** Gives a machine other addresses on the underlay. */
function moveTo({ netns, ip, ipv6 }: AgentNode, host: number): void {
  // In this order: with a first address the kernel takes further ones of its network away.
  for (const address of [`${ip}/24`, `${ipv6}/64`]) netns.run('ip', 'addr', 'del', address, 'dev', 'eth0');
  addAddresses(netns, 'eth0', [`192.0.2.${host}/24`, `2001:db8::${host}/64`]);
}
