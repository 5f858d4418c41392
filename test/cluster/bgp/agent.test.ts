// An agent as a process, against a real etcd; what the command line shows; the address of a node.
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { ensureNode, getResource, openEmbeddedDatastore, openEtcdDatastore } from '@amphipod/fabric';
import { openRtnlIn } from '@amphipod/netlink';
import { createTestNetns } from '../../kernel/netlink-namespaces.ts';
import { startEtcd } from '../etcd-server.ts';
import { until } from '../nodes.ts';
import { startTraffic } from '../traffic.ts';
import {
  applyYaml,
  birdPid,
  birdRoutes,
  createRoutedCluster,
  type RoutedNode,
  sessionsOf,
  stopAgent,
  untilEstablished,
} from './routed-nodes.ts';

const run = promisify(execFile);
const program = 'bin/amphipod';
const pool =
  '{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: blue}, spec: {cidr: 10.0.0.0/16}}';

/** What a command prints in the node's namespace, and its exit code. */
async function cli({ node }: RoutedNode, ...args: string[]): Promise<{ code: number; out: string }> {
  return await run('nsenter', [`--net=${node.netns.pin}`, program, 'net', ...args]).then(
    ({ stdout }) => ({ code: 0, out: stdout }),
    (error: { code: number; stdout: string; stderr: string }) => ({
      code: error.code,
      out: error.stdout + error.stderr,
    }),
  );
}

test('BGP-03: an agent that is killed with SIGKILL, twice, withdraws nothing', async () => {
  await using etcd = await startEtcd();
  await using store = openEtcdDatastore({ endpoints: etcd.endpoints });
  await using cluster = await createRoutedCluster({ store, count: 3, resources: pool });
  const [a, b] = cluster.nodes as [RoutedNode, RoutedNode];
  await untilEstablished(cluster.nodes, 2);
  await using traffic = startTraffic(b.pods[0]!.netns, a.pods[0]!.ip);
  await traffic.untilAnswered(5);
  const pid = birdPid(a);
  const since = (await sessionsOf(b)).map((one) => one.since);
  await stopAgent(a);
  // The process is in the test's namespace of networks for etcd; its kernel and its BIRD are the node's.
  for (let round = 0; round < 2; round++) {
    const child = startProcess(a, etcd.endpoints);
    await until('the process has taken BIRD over', () =>
      child.log().includes('a running bird is taken over'),
    );
    const exited = once(child.process, 'exit');
    child.process.kill('SIGKILL');
    await exited;
  }
  await traffic.untilAnswered(10);
  assert.equal(traffic.count().lost, 0);
  assert.equal(birdPid(a), pid);
  assert.deepEqual(
    (await sessionsOf(b)).map((one) => one.since),
    since,
    'no session began anew',
  );
});

function startProcess(routed: RoutedNode, endpoints: readonly string[]) {
  const args = [
    'test/cluster/bgp/routed-process.ts',
    JSON.stringify({
      endpoints,
      nodeName: routed.name,
      stateDir: routed.stateDir,
      netns: routed.node.netns.pin,
    }),
  ];
  const child: ChildProcess = spawn('bin/node24', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let log = '';
  child.stdout!.on('data', (chunk: Buffer) => {
    log += chunk;
  });
  return { process: child, log: () => log };
}

test('net bgp and net route: peers, why a prefix is told, the hops, and where a packet stops', async () => {
  const database = `/tmp/bgp-cli-${process.pid}.db`;
  await using store = openEmbeddedDatastore(database);
  try {
    await using cluster = await createRoutedCluster({ store, count: 2, resources: pool });
    const [a, b] = cluster.nodes as [RoutedNode, RoutedNode];
    await untilEstablished(cluster.nodes, 1);
    await until('routes are there', () => Object.keys(birdRoutes(a)).length === 1);
    const common = ['--nodename', a.name, '--bird-dir', a.stateDir, '--database', database];
    const peers = await cli(a, 'bgp', ...common);
    assert.match(
      peers.out,
      /^PEER +NODE +AS +STATE +SINCE +IN +OUT +LAST ERROR\n192\.0\.2\.2 +node-2 +64512 +Established +\S+ +1 +1\n$/,
    );
    const [own] = a.node.netns.run('ip', 'route', 'show', 'type', 'blackhole').split(' ').slice(1);
    const told = await cli(a, 'bgp', own!, ...common);
    assert.match(told.out, /Mesh_192_0_2_2 +yes +it is a block of this node/);
    const [other] = Object.keys(birdRoutes(a));
    assert.match((await cli(a, 'bgp', other!, ...common)).out, /Mesh_192_0_2_2 +no +the peer told it to us/);
    assert.deepEqual(await cli(a, 'bgp', '203.0.113.0/24', ...common), {
      code: 1,
      out: 'BIRD has no route for 203.0.113.0/24\n',
    });

    const place = ['--nodename', a.name, '--database', database];
    await applyYaml(
      store,
      `{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: node--2-k8s-web-eth0, namespace: default}, spec: {orchestrator: k8s, node: ${b.name}, pod: web, endpoint: eth0, interfaceName: cali0, ipNetworks: [${b.pods[0]!.ip}/32]}}`,
    );
    const way = await cli(a, 'route', 'default/web', ...place);
    assert.equal(way.code, 0, way.out);
    assert.match(
      way.out,
      /1\. node "node-1" \S+ via 192\.0\.2\.2 dev eth0 \(bird\)\n {2}2\. node "node-2" has the pod on cali0\n {2}3\. pod "default\/web"/,
    );
    const nowhere = await cli(a, 'route', '203.0.113.1', ...place);
    assert.equal(nowhere.code, 1);
    assert.match(
      nowhere.out,
      /has no route to 203\.0\.113\.1, and no node has a block with it — it stops here/,
    );
  } finally {
    for (const end of ['', '-wal', '-shm']) rmSync(`${database}${end}`, { force: true });
  }
});

test('BGP-04: bridges and virtual IPs are no address of the node; what works is kept; of two nodes with one address both are named', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  using netns = createTestNetns();
  const { signal } = new AbortController();
  const rtnl = openRtnlIn(netns.pin);
  try {
    const address = async (nodeName: string) => {
      await ensureNode({ store, nodeName, rtnl, signal });
      return (await getResource(store, 'Node', { name: nodeName }))!.spec.bgp!.ipv4Address;
    };
    for (const [link, kind, ip] of [
      ['br-x', 'bridge', '172.18.0.1/16'],
      ['dns', 'bridge', '10.96.0.10/32'],
    ]) {
      netns.run('ip', 'link', 'add', link!, 'up', 'type', kind!);
      netns.run('ip', 'addr', 'add', ip!, 'dev', link!);
    }
    await assert.rejects(address('a'), { code: 'invalid-config', message: /no interface has one/ });
    netns.run('ip', 'link', 'add', 'eth0', 'up', 'type', 'veth', 'peer', 'name', 'far');
    netns.run('ip', 'link', 'set', 'far', 'up');
    netns.run('ip', 'addr', 'add', '198.51.100.99/32', 'dev', 'eth0');
    netns.run('ip', 'addr', 'add', '198.51.100.11/24', 'dev', 'eth0');
    assert.equal(await address('a'), '198.51.100.11/24');
    netns.run('ip', 'route', 'add', 'default', 'via', '198.51.100.1');
    // The virtual IP moves away and back, another address comes first: nothing changes.
    netns.run('ip', 'addr', 'del', '198.51.100.99/32', 'dev', 'eth0');
    netns.run('ip', 'addr', 'add', '203.0.113.1/24', 'dev', 'eth0');
    netns.run('ip', 'addr', 'add', '198.51.100.99/32', 'dev', 'eth0');
    assert.equal(await address('a'), '198.51.100.11/24');
    await assert.rejects(address('b'), {
      code: 'invalid-config',
      message: 'use address 198.51.100.11 for node "b": node "a" has it',
    });
    assert.equal(await address('a'), '198.51.100.11/24');
  } finally {
    rtnl.close();
  }
});
