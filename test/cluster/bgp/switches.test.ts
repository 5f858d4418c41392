// External peers: a switch of FRR, another of GoBGP, and a host behind both.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { openEmbeddedDatastore } from '@amphipod/fabric';
import type { TestNetns } from '../../kernel/netlink-namespaces.ts';
import { answersPing, until } from '../nodes.ts';
import { startTraffic } from '../traffic.ts';
import {
  birdRoutes,
  birdTable,
  createRoutedCluster,
  type RoutedCluster,
  sessionsOf,
  signalBird,
  untilEstablished,
} from './routed-nodes.ts';
import { createOuterHost, type GobgpSwitch, type Switch, startFrr, startGobgp } from './switches.ts';

const OUTER = '203.0.113.10';
const OUTER_NETWORK = '203.0.113.0/24';
const resources = `
{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: blue}, spec: {cidr: 10.0.0.0/16}}
---
{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default}, spec: {nodeToNodeMeshEnabled: false}}
---
{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: frr}, spec: {peerIP: 192.0.2.201, asNumber: 65001, numAllowedLocalASNumbers: 1}}
---
{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: gobgp}, spec: {peerIP: 192.0.2.202, asNumber: 65001, numAllowedLocalASNumbers: 1}}
`;

suite('two top-of-rack switches', () => {
  const store = openEmbeddedDatastore(':memory:');
  let cluster: RoutedCluster;
  let frr: Switch;
  let gobgp: GobgpSwitch;
  let outer: TestNetns;

  before(async () => {
    cluster = await createRoutedCluster({ store, count: 5, resources });
    const { middle } = cluster.cluster;
    const common = {
      middle,
      asNumber: 65001,
      nodesAs: 64512,
      nodes: cluster.nodes.map(({ node }) => node.ip),
      announces: OUTER_NETWORK,
    };
    frr = await startFrr({ ...common, ip: '192.0.2.201' });
    gobgp = await startGobgp({ ...common, ip: '192.0.2.202' });
    outer = createOuterHost([frr, gobgp], OUTER);
    await untilEstablished(cluster.nodes, 2);
    for (const one of [frr, gobgp])
      await until('the switch has all blocks', () => one.learned().length === 5);
    gobgp.install();
  });
  after(async () => {
    outer?.[Symbol.dispose]();
    await gobgp?.[Symbol.asyncDispose]();
    await frr?.[Symbol.asyncDispose]();
    await cluster?.[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
  });

  test('pods reach each other, with routes that come by the switches', async () => {
    const [from, ...others] = cluster.nodes;
    for (const to of others) assert.ok(await answersPing(from!.pods[0]!.netns, to.pods[0]!.ip), to.name);
    const [block] = Object.keys(birdRoutes(others[0]!)).filter((network) => network.startsWith('10.0.'));
    const [route] = await birdTable(others[0]!, block!);
    assert.match(route!.attributes['BGP.as_path']!, /65001 64512/);
  });

  test('ECMP: the network behind both switches has two ways in the kernel of every node', async () => {
    for (const node of cluster.nodes) {
      await until(`${node.name} has both ways`, () => {
        const text = node.node.netns.run('ip', 'route', 'show', OUTER_NETWORK);
        return text.includes('nexthop via 192.0.2.201') && text.includes('nexthop via 192.0.2.202');
      });
      assert.ok(await answersPing(node.pods[0]!.netns, OUTER));
    }
  });

  test('BIRD killed: switches that know graceful restart keep the routes, and no packet is lost', async () => {
    const [first] = cluster.nodes;
    // By FRR only: GoBGP was not told of graceful restart, and may drop what it has.
    cluster.nodes[0]!.node.netns.run('ip', 'route', 'add', `${OUTER}/32`, 'via', '192.0.2.201');
    outer.run('ip', 'route', 'replace', 'default', 'via', '172.30.0.1');
    await using traffic = startTraffic(first!.pods[0]!.netns, OUTER);
    await traffic.untilAnswered(5);
    signalBird(first!, 'SIGKILL');
    await until('the session is back', async () => {
      const states = await sessionsOf(first!);
      return states.filter(({ state }) => state === 'Established').length === 2;
    });
    await traffic.untilAnswered(10);
    assert.equal(traffic.count().lost, 0);
    cluster.nodes[0]!.node.netns.run('ip', 'route', 'del', `${OUTER}/32`);
  });

  test('a switch that is gone leaves one way, and pods still reach what is behind', async () => {
    await gobgp.kill();
    gobgp.netns.run('ip', 'link', 'set', 'eth0', 'down');
    outer.run('ip', 'route', 'replace', 'default', 'via', '172.30.0.1');
    for (const node of cluster.nodes) {
      await until(
        `${node.name} has one way`,
        () => birdRoutes(node)[OUTER_NETWORK] === 'via 192.0.2.201 dev eth0',
      );
      assert.ok(await answersPing(node.pods[0]!.netns, OUTER));
    }
  });
});
