// Pools with VXLAN, and masquerading.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listResources, openEmbeddedDatastore } from '@amphipod/fabric';
import { answersPing, until } from '../nodes.ts';
import { birdRoutes, createRoutedCluster, type RoutedNode, untilEstablished } from './routed-nodes.ts';

const poolWith = (spec: string) =>
  `{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: blue}, spec: {cidr: 10.0.0.0/16, ${spec}}}`;

function ownRoutes({ node }: RoutedNode): string[] {
  return node.netns
    .run('ip', 'route', 'show', 'proto', '98')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('blackhole'));
}

async function untilAllReach(nodes: readonly RoutedNode[]): Promise<void> {
  for (const from of nodes) {
    for (const to of nodes) {
      if (from === to) continue;
      await until(`${from.name} reaches ${to.name}`, () => answersPing(from.pods[0]!.netns, to.pods[0]!.ip));
    }
  }
}

test('vxlanMode Always: pods reach each other over routers that know nothing of them', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await using cluster = await createRoutedCluster({
    store,
    count: 3,
    kind: 'routed',
    resources: poolWith('vxlanMode: Always'),
  });
  const { nodes } = cluster;
  await untilEstablished(nodes, 2);
  await untilAllReach(nodes);
  const [first] = nodes as [RoutedNode];
  assert.deepEqual(birdRoutes(first), {}, 'BIRD writes none of the routes');
  assert.equal(ownRoutes(first).length, 2);
  for (const line of ownRoutes(first)) assert.match(line, / via 10\.0\.\S+ dev vxlan\.calico onlink/);
  const { resources } = await listResources(store, 'Node');
  assert.equal(new Set(resources.map(({ spec }) => spec.ipv4VXLANTunnelAddr)).size, 3);
  // What somebody takes away is put back.
  first.node.netns.run('ip', 'route', 'del', ownRoutes(first)[0]!.split(' ')[0]!);
  first.node.netns.run('ip', 'neigh', 'flush', 'dev', 'vxlan.calico', 'nud', 'permanent');
  await until('it is mended', () => ownRoutes(first).length === 2);
  await untilAllReach(nodes);
});

test('vxlanMode CrossSubnet: nodes of one subnet go without', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await using cluster = await createRoutedCluster({
    store,
    count: 3,
    resources: poolWith('vxlanMode: CrossSubnet'),
  });
  await untilAllReach(cluster.nodes);
  for (const node of cluster.nodes) {
    assert.equal(ownRoutes(node).length, 2);
    for (const line of ownRoutes(node)) assert.match(line, / via 192\.0\.2\.\d+ dev eth0/);
  }
});

test('natOutgoing: what is outside of all pools sees the node, other pods see the pod', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await using cluster = await createRoutedCluster({
    store,
    count: 2,
    kind: 'routed',
    resources: poolWith('vxlanMode: Always, natOutgoing: true'),
  });
  const { nodes, cluster: underlay } = cluster;
  await untilAllReach(nodes);
  // The router has no way back to pods.
  assert.throws(() => underlay.middle.run('ip', 'route', 'get', nodes[0]!.pods[0]!.ip));
  assert.ok(await answersPing(nodes[0]!.pods[0]!.netns, '198.51.1.1'));
  assert.match(
    nodes[0]!.node.netns.run('nft', 'list', 'table', 'inet', 'amphipod_routed'),
    /ip saddr 10\.0\.0\.0\/16 masquerade/,
  );
});
