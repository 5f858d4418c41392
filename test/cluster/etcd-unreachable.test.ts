// Real agents whose etcd is out of reach for long: the pods' traffic goes on, what breaks is mended, and leases that ran out are had again.
// Hours are not waited for: nothing in an agent happens with time but renewals, and a lease that has run out is one that etcd has deleted.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { type AgentNode, prefix, startAgents, untilAllReach } from './agents.ts';
import { until } from './nodes.ts';
import { startTraffic } from './traffic.ts';

/** Runs while no agent reaches etcd; the test's own client does. */
async function whileUnreachable(act: () => Promise<void>): Promise<void> {
  const nft = (...args: string[]) => execFileSync('nft', args);
  nft('add', 'table', 'inet', 'cut');
  nft('add chain inet cut in { type filter hook input priority 0; }');
  nft('add rule inet cut in iifname under0 meta l4proto tcp drop');
  try {
    await act();
  } finally {
    nft('delete', 'table', 'inet', 'cut');
  }
}

const routesOf = ({ netns }: AgentNode) =>
  netns.run('ip', 'route', 'show', 'proto', '97').split('\n').toSorted();

test('for longer than leases live: no pod notices, what is broken is mended, leases are written again with the same subnets', async () => {
  await using cluster = await startAgents(3, { Type: 'vxlan' });
  const { nodes, store } = cluster;
  const [first, second, third] = nodes as [AgentNode, AgentNode, AgentNode];
  const subnets = nodes.map((node) => node.subnets());
  const routes = nodes.map(routesOf);
  const before = (await store.list(`${prefix}/subnets/`)).entries;
  assert.equal(before.length, 3);
  await using traffic = startTraffic(first.pod, second.podIps[0]!);
  await using toThird = startTraffic(first.pod, third.podIps[0]!);
  await Promise.all([traffic.untilAnswered(1), toThird.untilAnswered(1)]);
  await whileUnreachable(async () => {
    third.netns.run('ip', 'link', 'del', 'flannel-v6.1');
    await until('the device is back', () => third.netns.run('ip', 'link').includes('flannel-v6.1'));
    // As long as it takes a client to notice that etcd does not answer, and to try again a few times.
    for (let seconds = 0; seconds < 25; seconds += 5) await traffic.untilAnswered(100);
    for (const { key } of before) await store.delete(key);
    await Promise.all([traffic.untilAnswered(20), toThird.untilAnswered(20)]);
    assert.deepEqual(nodes.map(routesOf), routes);
    assert.deepEqual([traffic.count().lost, toThird.count().lost], [0, 0]);
  });
  await until(
    'all leases are there again',
    async () => {
      const { entries } = await store.list(`${prefix}/subnets/`);
      return entries.length === 3 && entries.every(({ leaseId }) => leaseId !== undefined);
    },
    1200,
  );
  const after = (await store.list(`${prefix}/subnets/`)).entries;
  const lease = ({ key, value }: { key: string; value: string }) => `${key} ${value}`;
  assert.deepEqual(after.map(lease), before.map(lease));
  await until(
    'everybody has heard of everybody',
    () => nodes.every((node, i) => routesOf(node).join() === routes[i]!.join()),
    1200,
  );
  await untilAllReach(nodes);
  assert.deepEqual(
    nodes.map((node) => node.subnets()),
    subnets,
  );
});

test('at the start of an agent: its pods go on, and it is ready with the same subnets when etcd answers', async () => {
  await using cluster = await startAgents(2, { Type: 'vxlan' });
  const [first, second] = cluster.nodes as [AgentNode, AgentNode];
  const before = second.subnets();
  await using traffic = startTraffic(first.pod, second.podIps[0]!);
  await traffic.untilAnswered(1);
  let starting: Promise<unknown> = Promise.resolve();
  await whileUnreachable(async () => {
    await second.kill();
    starting = second.start();
    await until('it says that etcd does not answer', () => second.output().includes('does not answer'), 600);
    assert.doesNotMatch(second.output(), / ready\b/);
    await traffic.untilAnswered(5);
  });
  assert.deepEqual(await starting, before);
  await untilAllReach(cluster.nodes);
  assert.equal(traffic.count().lost, 0);
});
