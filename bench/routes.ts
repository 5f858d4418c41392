/**
 * The routed network of one node in a mesh of many: from the agent's start, without BIRD and without routes, until BIRD and the kernel have
 * the routes to all other nodes' blocks, and what that takes in memory; then the same with BIRD killed. `bench/routes.ts [--nodes N]
 * [--blocks N] [--rounds N]`. All other nodes are one BIRD with an address and a session each.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { askBird, type Datastore, openEmbeddedDatastore, startBgp } from '@amphipod/fabric';
import { routeList } from '@amphipod/netlink';
import { createCluster, type TestCluster, type TestNode } from '../test/cluster/nodes.ts';
import { pssMiB } from './lib/memory.ts';
import { printResult, printTable, summarize } from './report.ts';

const BIRD = 12;
const PAUSE_MS = 10;
const GIVE_UP_MS = 60_000;

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '500' },
    blocks: { type: 'string', default: '2000' },
    rounds: { type: 'string', default: '3' },
  },
});
const [nodeCount, blockCount, rounds] = [values.nodes, values.blocks, values.rounds].map(Number) as [
  number,
  number,
  number,
];
const peers = Array.from(
  { length: nodeCount - 1 },
  (_, i) => `198.18.${Math.floor(i / 250)}.${(i % 250) + 1}`,
);
const blocks = Array.from(
  { length: blockCount },
  (_, i) => `10.${64 + Math.floor(i / 1024)}.${Math.floor(i / 4) % 256}.${(i % 4) * 64}/26`,
);
const OWN = '198.18.9.1';
/** BIRD wants its sessions with one address to differ by the port; nobody connects to it. */
const FIRST_PORT = 20_000;

/** All other nodes: each has its blocks, and tells them under its own address. */
function othersConfig(): string {
  const share = Math.ceil(blockCount / peers.length);
  const sessions = peers.map((ip, i) => {
    const own = blocks.slice(i * share, (i + 1) * share);
    const filter = own.length === 0 ? 'export none' : `export where net ~ [ ${own.join(', ')} ]`;
    return `protocol bgp n${i} { router id ${ip}; local ${ip} as 64512; neighbor ${OWN} port ${FIRST_PORT + i} as 64512; strict bind on; multihop; passive on; graceful restart on; ipv4 { import all; ${filter}; }; }`;
  });
  const routes = blocks.map((block) => `route ${block} blackhole;`).join('\n');
  return `router id ${peers[0]};\nprotocol device devices {}\nprotocol static own { ipv4;\n${routes}\n}\n${sessions.join('\n')}\n`;
}

async function fillStore(store: Datastore): Promise<void> {
  const put = (kind: string, name: string, spec: object) =>
    store.put(
      `/calico/resources/v3/projectcalico.org/${kind.toLowerCase()}s/${name}`,
      JSON.stringify({ kind, apiVersion: 'projectcalico.org/v3', metadata: { name }, spec }),
    );
  await put('IPPool', 'all', { cidr: '10.64.0.0/10' });
  await put('Node', 'own', { bgp: { ipv4Address: `${OWN}/16` } });
  for (const [i, ip] of peers.entries()) await put('Node', `node-${i}`, { bgp: { ipv4Address: `${ip}/16` } });
  const share = Math.ceil(blockCount / peers.length);
  for (const [i, block] of blocks.entries()) {
    const key = `/calico/ipam/v2/host/node-${Math.floor(i / share)}/ipv4/block/${block.replace('/', '-')}`;
    await store.put(key, '{"state":"confirmed","deleted":false}');
  }
}

/** Gives a namespace its addresses, a line of `ip -batch` each. */
function setAddresses({ netns }: TestNode, dir: string, addresses: readonly string[]): void {
  const file = join(dir, 'addresses');
  const lines = ['addr flush dev eth0 scope global', ...addresses.map((ip) => `addr add ${ip}/16 dev eth0`)];
  writeFileSync(file, `${lines.join('\n')}\n`);
  netns.run('ip', '-batch', file);
}

function kernelRoutes({ kernel }: TestNode): number {
  return routeList(kernel.rtnl, { family: 4 }).filter(({ protocol }) => protocol === BIRD).length;
}

async function untilAll(node: TestNode, what: string): Promise<number> {
  const since = performance.now();
  while (kernelRoutes(node) < blockCount) {
    if (performance.now() - since > GIVE_UP_MS)
      throw new Error(`${what}: the kernel has ${kernelRoutes(node)} routes`);
    await delay(PAUSE_MS);
  }
  return performance.now() - since;
}

function birdPid(dir: string): number {
  return Number(readFileSync(join(dir, 'bird.pid'), 'utf8'));
}

async function endBird(dir: string): Promise<void> {
  const pid = birdPid(dir);
  await askBird('down', { socketPath: join(dir, 'bird.ctl') });
  while (readText(`/proc/${pid}/cmdline`).includes(dir)) await delay(PAUSE_MS);
}

function readText(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

interface Bench {
  cluster: TestCluster;
  store: Datastore;
  dir: string;
}

async function measureRound({ cluster, store, dir }: Bench) {
  const own = cluster.nodes[0]!;
  const before = process.memoryUsage().rss;
  const bgp = startBgp({
    store,
    nodeName: 'own',
    kernel: own.kernel,
    stateDir: dir,
    birdCommand: ['nsenter', `--net=${own.netns.pin}`, 'bird'],
    onError: (error) => console.error(error.message),
  });
  const startMs = await untilAll(own, 'after the start');
  const memory = {
    birdMiB: pssMiB([birdPid(dir)]),
    agentMiB: (process.memoryUsage().rss - before) / 2 ** 20,
  };
  // Killed: the kernel keeps its routes, and the peers theirs.
  const pid = birdPid(dir);
  process.kill(pid, 'SIGKILL');
  let fewest = blockCount;
  const since = performance.now();
  const isBack = async () => {
    const lines = await askBird('show route table master4 protocol kernel4 count', {
      socketPath: join(dir, 'bird.ctl'),
    }).catch(() => []);
    const all = await askBird('show route table master4 count', { socketPath: join(dir, 'bird.ctl') }).catch(
      () => [],
    );
    return lines.length > 0 && all.some(({ text }) => Number(text.split(' ')[0]) >= blockCount);
  };
  while (birdPid(dir) === pid || !(await isBack())) {
    fewest = Math.min(fewest, kernelRoutes(own));
    if (performance.now() - since > GIVE_UP_MS) throw new Error('BIRD does not come back');
    await delay(PAUSE_MS);
  }
  const killedMs = performance.now() - since;
  await bgp[Symbol.asyncDispose]();
  await endBird(dir);
  own.netns.run('ip', 'route', 'flush', 'proto', 'bird');
  return { startMs, killedMs, fewest, ...memory };
}

async function main(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'bench-routes-'));
  using cluster = createCluster(2, 'switched');
  await using store = openEmbeddedDatastore(':memory:');
  let others: ChildProcess | undefined;
  try {
    await fillStore(store);
    setAddresses(cluster.nodes[0]!, dir, [OWN]);
    setAddresses(cluster.nodes[1]!, dir, peers);
    writeFileSync(join(dir, 'others.conf'), othersConfig());
    const args = [
      `--net=${cluster.nodes[1]!.netns.pin}`,
      'bird',
      '-f',
      '-c',
      join(dir, 'others.conf'),
      '-s',
      join(dir, 'others.ctl'),
    ];
    others = spawn('nsenter', args, { stdio: ['ignore', 'inherit', 'inherit'] });
    await delay(2_000);
    const results = [];
    for (let round = 0; round < rounds; round++) results.push(await measureRound({ cluster, store, dir }));
    const rows = [
      { name: 'start', ours: summarize(results.map(({ startMs }) => startMs)) },
      { name: 'after a kill', ours: summarize(results.map(({ killedMs }) => killedMs)) },
    ];
    printTable(rows);
    const last = results.at(-1)!;
    printResult('routes', '', rows, {
      nodes: nodeCount,
      blocks: blockCount,
      fewestRoutesWhileKilled: Math.min(...results.map(({ fewest }) => fewest)),
      birdMiB: Math.round(last.birdMiB),
      agentMiB: Math.round(Math.max(...results.map(({ agentMiB }) => agentMiB))),
    });
  } finally {
    if (others !== undefined) {
      const exited = once(others, 'exit');
      others.kill('SIGKILL');
      await exited;
    }
    const pid = Number(readText(join(dir, 'bird.pid')));
    if (pid > 0 && readText(`/proc/${pid}/cmdline`).includes(dir)) process.kill(pid, 'SIGKILL');
    rmSync(dir, { recursive: true });
  }
}

await main();
