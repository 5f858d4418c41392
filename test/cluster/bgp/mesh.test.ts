// Five nodes in a mesh: who reaches whom, and what happens when something is killed.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createIpam, openEmbeddedDatastore } from '@amphipod/fabric';
import { answersPing, until } from '../nodes.ts';
import { startTraffic, type Traffic } from '../traffic.ts';
import {
  addPodWith,
  addRoutedPod,
  applyYaml,
  birdPid,
  birdRoutes,
  createRoutedCluster,
  type RoutedCluster,
  type RoutedNode,
  removeRoutedPod,
  sessionsOf,
  signalBird,
  startAgent,
  stopAgent,
  untilEstablished,
} from './routed-nodes.ts';

const COUNT = 5;
const pool =
  '{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: blue}, spec: {cidr: 10.0.0.0/16, blockSize: 26}}';

function blockOf({ pods }: RoutedNode): string {
  const [a, b, c, d] = pods[0]!.ip.split('.').map(Number);
  return `${a}.${b}.${c}.${d! - (d! % 64)}/26`;
}

suite('a mesh of five nodes', () => {
  const store = openEmbeddedDatastore(':memory:');
  let cluster: RoutedCluster;
  let nodes: RoutedNode[];

  before(async () => {
    cluster = await createRoutedCluster({ store, count: COUNT, resources: pool });
    nodes = cluster.nodes;
    await untilEstablished(nodes, COUNT - 1);
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
  });

  /** Traffic from the pod of node 1 to that of node 2 and back. */
  async function withTraffic(act: (traffics: Traffic[]) => Promise<void>): Promise<number> {
    const [a, b] = [nodes[0]!.pods[0]!, nodes[1]!.pods[0]!];
    await using there = startTraffic(a.netns, b.ip);
    await using back = startTraffic(b.netns, a.ip);
    const traffics = [there, back];
    for (const one of traffics) await one.untilAnswered(5);
    await act(traffics);
    for (const one of traffics) await one.untilAnswered(10);
    return traffics.reduce((sum, one) => sum + one.count().lost, 0);
  }

  test('every pod reaches every pod; each block is one route in every other kernel', async () => {
    for (const from of nodes) {
      for (const to of nodes) {
        if (from === to) continue;
        await until(
          `${from.name} has the block of ${to.name}`,
          () => birdRoutes(from)[blockOf(to)] !== undefined,
        );
        assert.equal(birdRoutes(from)[blockOf(to)], `via ${to.node.ip} dev eth0`);
        assert.ok(await answersPing(from.pods[0]!.netns, to.pods[0]!.ip), `${from.name} to ${to.name}`);
      }
      assert.equal(Object.keys(birdRoutes(from)).length, COUNT - 1);
    }
  });

  test('the own block is a blackhole of ours, so that free addresses are not sent round in circles', () => {
    const [first] = nodes as [RoutedNode];
    assert.equal(first.node.netns.run('ip', 'route', 'show', 'proto', '98'), `blackhole ${blockOf(first)}`);
    first.node.netns.run('ip', 'route', 'del', 'blackhole', blockOf(first));
    return until('it is mended', () => first.node.netns.run('ip', 'route', 'show', 'proto', '98') !== '');
  });

  test('a withdrawn block is gone everywhere at once, and comes back', async (t) => {
    const last = nodes.at(-1)!;
    const others = nodes.slice(0, -1);
    const block = blockOf(last);
    await removeRoutedPod(store, last, last.pods[0]!);
    const { entries } = await store.list(`/calico/ipam/v2/host/${last.name}/ipv4/block/`);
    for (const { key } of entries) await store.delete(key);
    const since = performance.now();
    await until('the block is gone', () => others.every((node) => birdRoutes(node)[block] === undefined));
    t.diagnostic(`gone after ${Math.round(performance.now() - since)} ms`);
    for (const { key, value } of entries) await store.put(key, value);
    await addRoutedPod(store, last);
    await until('it is back', () => others.every((node) => birdRoutes(node)[block] !== undefined));
  });

  test('an address that is used on another node follows at once', async (t) => {
    const [first, second, third] = nodes as [RoutedNode, RoutedNode, RoutedNode];
    const [address] = await createIpam({ store, node: first.name }).allocate({
      owner: { handleId: 'moving', attributes: {} },
      ipv4: { count: 1 },
    });
    const ip = address!.value;
    const text = [24n, 16n, 8n, 0n].map((shift) => (ip >> shift) & 255n).join('.');
    const before1 = addPodWith(first, { ip: text, handleId: 'moving' });
    assert.ok(await answersPing(third.pods[0]!.netns, text));
    before1.netns[Symbol.dispose]();
    first.pods.splice(first.pods.indexOf(before1), 1);
    const after1 = addPodWith(second, { ip: text, handleId: 'moving' });
    const since = performance.now();
    await until(
      'the others have the way',
      () => birdRoutes(third)[text] === `via ${second.node.ip} dev eth0`,
    );
    t.diagnostic(`found after ${Math.round(performance.now() - since)} ms`);
    assert.ok(await answersPing(third.pods[0]!.netns, text));
    // Its old node, which has the block, sends it on.
    assert.ok(await answersPing(first.pods[0]!.netns, text));
    await removeRoutedPod(store, second, after1);
    await until('the way is gone', () => birdRoutes(third)[text] === undefined);
  });

  test('BGP-03: when the agent is restarted nothing is withdrawn, and the running BIRD is taken over', async () => {
    const [first] = nodes as [RoutedNode];
    const pid = birdPid(first);
    const since = (await sessionsOf(nodes[1]!)).map((one) => one.since);
    const lost = await withTraffic(async () => {
      await stopAgent(first);
      await delay(300);
      startAgent(store, first);
      await untilEstablished([first], COUNT - 1);
    });
    assert.equal(lost, 0);
    assert.equal(birdPid(first), pid);
    assert.ok(first.events.includes('a running bird is taken over'));
    assert.deepEqual(
      (await sessionsOf(nodes[1]!)).map((one) => one.since),
      since,
      'no session began anew',
    );
  });

  test('a killed BIRD is started again, and no packet is lost', async () => {
    const [first] = nodes as [RoutedNode];
    const pid = birdPid(first);
    const lost = await withTraffic(async () => {
      signalBird(first, 'SIGKILL');
      await until('another BIRD runs', () => ![pid, undefined].includes(birdPid(first)));
      await untilEstablished(nodes, COUNT - 1);
    });
    assert.equal(lost, 0);
    assert.ok(first.events.includes('bird was gone and is started again'));
  });

  test('agent and BIRD killed: the next agent starts BIRD, and no packet is lost', async () => {
    const [first] = nodes as [RoutedNode];
    const lost = await withTraffic(async () => {
      await stopAgent(first);
      signalBird(first, 'SIGKILL');
      await delay(500);
      startAgent(store, first);
      await untilEstablished(nodes, COUNT - 1);
    });
    assert.equal(lost, 0);
  });

  test('BGP-01: killed twice within the restart window, no packet is lost', async () => {
    const [first] = nodes as [RoutedNode];
    const lost = await withTraffic(async () => {
      for (let kills = 0; kills < 2; kills++) {
        const pid = birdPid(first);
        signalBird(first, 'SIGKILL');
        await until('another BIRD runs', () => ![pid, undefined].includes(birdPid(first)));
        // Of a peer that has not yet heard all after the first, the standard wants the routes thrown away (docs/bgp.md).
        await untilEstablished(nodes, COUNT - 1);
      }
    });
    assert.equal(lost, 0);
  });

  test('BGP-01: killed again before its peers have heard all, packets flow again by themselves', async (t) => {
    const [first] = nodes as [RoutedNode];
    const lost = await withTraffic(async () => {
      for (let kills = 0; kills < 2; kills++) {
        const pid = birdPid(first);
        signalBird(first, 'SIGKILL');
        await until('another BIRD runs', () => ![pid, undefined].includes(birdPid(first)));
        await until('a session is back', async () =>
          (await sessionsOf(first)).some(({ state }) => state === 'Established'),
        );
      }
      await untilEstablished(nodes, COUNT - 1);
    });
    t.diagnostic(`${lost} packets lost, of 40 a second`);
  });

  test('what BIRD withdraws while the peer is away is held by the agent, and let go when the peer is back', async () => {
    const [first, second] = nodes as [RoutedNode, RoutedNode];
    const block = blockOf(second);
    const held = () => first.node.netns.run('ip', 'route', 'show', block, 'proto', '98');
    await stopAgent(second);
    signalBird(second, 'SIGKILL');
    await until('the session is away', async () =>
      (await sessionsOf(first)).some(({ state, isRestarting }) => isRestarting || state !== 'Established'),
    );
    first.node.netns.run('ip', 'route', 'del', block, 'proto', 'bird');
    await until('the way is held', () => held().includes(`via ${second.node.ip} dev eth0 metric 100000`));
    assert.ok(await answersPing(first.pods[0]!.netns, second.pods[0]!.ip));
    startAgent(store, second);
    await untilEstablished(nodes, COUNT - 1);
    await until('it is let go', () => held() === '' && birdRoutes(first)[block] !== undefined);
  });

  test('a frozen peer disturbs nobody else', async () => {
    const last = nodes.at(-1)!;
    const lost = await withTraffic(async () => {
      signalBird(last, 'SIGSTOP');
      const pod = await addRoutedPod(store, nodes[2]!);
      assert.ok(await answersPing(nodes[0]!.pods[0]!.netns, pod.ip));
      await removeRoutedPod(store, nodes[2]!, pod);
      signalBird(last, 'SIGCONT');
    });
    assert.equal(lost, 0);
    await untilEstablished(nodes, COUNT - 1);
  });

  test('BGP-02: a dead peer does not hold up a node that restarts', async (t) => {
    const [first] = nodes as [RoutedNode];
    const last = nodes.at(-1)!;
    const rest = nodes.slice(0, -1);
    await stopAgent(last);
    signalBird(last, 'SIGKILL');
    const since = performance.now();
    signalBird(first, 'SIGKILL');
    // Its own kernel lost the way meanwhile, and only an exchange of routes brings it back.
    const block = blockOf(nodes[1]!);
    first.node.netns.run('ip', 'route', 'del', block);
    await until('routes are exchanged', () => birdRoutes(first)[block] !== undefined);
    const took = performance.now() - since;
    startAgent(store, last);
    await untilEstablished(rest, COUNT - 1);
    t.diagnostic(`routes after ${Math.round(took)} ms`);
  });

  test('a new password: sessions begin anew with it, and no packet is lost', async () => {
    let secret = 'one';
    for (const node of nodes) {
      await stopAgent(node);
      startAgent(store, node, { password: () => secret });
    }
    const withPassword = (key: string) =>
      applyYaml(
        store,
        `{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default}, spec: {nodeMeshPassword: {secretKeyRef: {name: bgp, key: ${key}}}}}`,
      );
    const lost = await withTraffic(async () => {
      for (const next of ['two', 'three']) {
        secret = next;
        await withPassword(next);
        await delay(1_000);
        await untilEstablished(nodes, COUNT - 1);
      }
    });
    assert.equal(lost, 0);
  });

  test('a node that gets another address is found under it, and nobody else loses a packet', async () => {
    const last = nodes.at(-1)!;
    const lost = await withTraffic(async () => {
      last.node.netns.run('sh', '-c', 'echo 1 >/proc/sys/net/ipv4/conf/eth0/promote_secondaries');
      last.node.netns.run('ip', 'addr', 'add', '192.0.2.55/24', 'dev', 'eth0');
      last.node.netns.run('ip', 'addr', 'del', `${last.node.ip}/24`, 'dev', 'eth0');
      last.node.ip = '192.0.2.55';
      await applyYaml(
        store,
        `{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: ${last.name}}, spec: {bgp: {ipv4Address: 192.0.2.55/24}}}`,
      );
      await until('the others have the new way', () =>
        nodes.slice(0, -1).every((node) => birdRoutes(node)[blockOf(last)] === 'via 192.0.2.55 dev eth0'),
      );
      await untilEstablished(nodes, COUNT - 1);
    });
    assert.equal(lost, 0);
    assert.ok(await answersPing(nodes[0]!.pods[0]!.netns, last.pods[0]!.ip));
  });
});
