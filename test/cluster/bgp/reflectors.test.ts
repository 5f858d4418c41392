// Two route reflectors in the place of a mesh.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openEmbeddedDatastore } from '@amphipod/fabric';
import { answersPing, until } from '../nodes.ts';
import { startTraffic } from '../traffic.ts';
import {
  birdRoutes,
  createRoutedCluster,
  sessionsOf,
  signalBird,
  stopAgent,
  untilEstablished,
} from './routed-nodes.ts';

const resources = `
{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: blue}, spec: {cidr: 10.0.0.0/16}}
---
{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default}, spec: {nodeToNodeMeshEnabled: false}}
---
{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: clients}, spec: {nodeSelector: "!has(rr)", peerSelector: has(rr)}}
---
{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: reflectors}, spec: {nodeSelector: has(rr), peerSelector: has(rr)}}
`;

test('two route reflectors: pods reach each other, and go on when one of the two is gone', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await using cluster = await createRoutedCluster({
    store,
    count: 5,
    resources,
    bgpOf: (number) => (number > 3 ? `, routeReflectorClusterID: 10.9.9.9` : ''),
    labelsOf: (number) => (number > 3 ? '{rr: "yes"}' : '{}'),
  });
  const { nodes } = cluster;
  const [clients, reflectors] = [nodes.slice(0, 3), nodes.slice(3)];
  await untilEstablished(clients, 2);
  await untilEstablished(reflectors, 4);
  for (const node of nodes) {
    await until(`${node.name} has all blocks`, () => Object.keys(birdRoutes(node)).length === 4);
  }
  const [a, b] = clients;
  for (const to of nodes.slice(1)) assert.ok(await answersPing(a!.pods[0]!.netns, to.pods[0]!.ip), to.name);
  await using traffic = startTraffic(a!.pods[0]!.netns, b!.pods[0]!.ip);
  await traffic.untilAnswered(5);
  await stopAgent(reflectors[0]!);
  signalBird(reflectors[0]!, 'SIGKILL');
  await until('the clients see that it is gone', async () =>
    (await sessionsOf(a!)).some(({ isRestarting, state }) => isRestarting || state !== 'Established'),
  );
  await traffic.untilAnswered(20);
  assert.equal(traffic.count().lost, 0);
});
