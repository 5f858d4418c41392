/**
 * The overlay of one node in a cluster of many: how long its agent takes to set the kernel up, to follow one lease, to find that nothing
 * is to be done, and to follow a storm, against a real etcd. `bench/overlay.ts [--sizes N,…] [--dual] [--rounds N] [--cpu-prof DIR]
 * [--throughput]`; with the last, what iperf3 carries between pods of two nodes, against the same devices made by hand.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Datastore, openEtcdDatastore } from '@amphipod/fabric';
import { type MonitorEvent, monitor } from '@amphipod/netlink';
import { type EtcdServer, startEtcd } from '../test/cluster/etcd-server.ts';
import { createCluster, type TestNode } from '../test/cluster/nodes.ts';
import type { AgentReport, AgentRequest, AgentStart } from './lib/overlay-agent.ts';
import {
  benchConfig,
  kernelLines,
  type PeerLease,
  peerLease,
  putLeases,
  wantedLines,
} from './lib/overlay-leases.ts';
import { measureThroughput } from './lib/overlay-throughput.ts';
import { printResult, printTable, type Row, summarize } from './report.ts';

const STORM_CHANGES = 1_000;
const STORM_MS = 1_000;
const SETTLE_MS = 300;
const RIGHT_TRIES = 300;
const RIGHT_DELAY_MS = 20;

const { values: options } = parseArgs({
  options: {
    sizes: { type: 'string', default: '10,100,1000,5000' },
    dual: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '20' },
    'cpu-prof': { type: 'string' },
    throughput: { type: 'boolean', default: false },
  },
});
const rounds = Number(options.rounds);
const isDual = options.dual;

class Agent {
  readonly reports: AgentReport[] = [];
  readonly #child: ChildProcess;
  #waiting: (() => void)[] = [];

  constructor(start: AgentStart) {
    const profile = options['cpu-prof'];
    const profiling = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
    // As bin/amphipod has them.
    const execArgv = ['--max-semi-space-size=1', '--optimize-for-size', ...profiling];
    this.#child = fork(join(import.meta.dirname, 'lib/overlay-agent.ts'), [], { execArgv });
    this.#child.on('message', (report: AgentReport) => {
      this.reports.push(report);
      this.#wake();
    });
    this.#child.on('exit', () => this.#wake());
    this.#child.send(start);
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  ask(request: AgentRequest): void {
    this.#child.send(request);
  }

  /** The next report of a kind, of those that come from now on or have come since `from`. */
  async next<T extends AgentReport['type']>(
    type: T,
    { from = this.reports.length, isIt = () => true }: NextOptions<T> = {},
  ): Promise<Extract<AgentReport, { type: T }>> {
    for (let at = from; ; at++) {
      while (at >= this.reports.length) {
        if (this.#child.exitCode !== null) throw new Error('the measured process has ended');
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
      const report = this.reports[at]!;
      if (report.type === type && isIt(report as Extract<AgentReport, { type: T }>))
        return report as Extract<AgentReport, { type: T }>;
    }
  }

  /** Until it has said nothing for a while. */
  async settle(): Promise<void> {
    for (let count = -1; count !== this.reports.length; ) {
      count = this.reports.length;
      await delay(SETTLE_MS);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#child, 'exit');
    // A profile is written when it exits by itself.
    this.#child.disconnect();
    await exited;
  }
}

interface NextOptions<T> {
  from?: number;
  isIt?: (report: Extract<AgentReport, { type: T }>) => boolean;
}

interface Measured {
  rows: Row[];
  more: Record<string, number>;
}

interface Bench {
  agent: Agent;
  node: TestNode;
  store: Datastore;
  prefix: string;
  leases: Map<string, PeerLease>;
}

/** One lease comes and goes, again and again. */
async function measureChanges({ agent, node, store, prefix, leases }: Bench, size: number) {
  const samples = { add: [] as number[], remove: [] as number[], addSeen: [] as number[] };
  const lease = peerLease(size + 1, { prefix, isDual });
  const stop = new AbortController();
  const routes = monitor(node.kernel.rtnl, ['route'], { signal: stop.signal });
  const seen = nextRoute(routes);
  for (let round = 0; round < rounds; round++) {
    const announced = seen();
    let from = agent.reports.length;
    const start = performance.now();
    await store.put(lease.key, lease.value);
    samples.addSeen.push((await announced) - start);
    const isIt = ({ sinceEventMs }: { sinceEventMs: number | undefined }) => sinceEventMs !== undefined;
    samples.add.push((await agent.next('sync', { from, isIt })).sinceEventMs!);
    await agent.settle();
    from = agent.reports.length;
    await store.delete(lease.key);
    samples.remove.push((await agent.next('sync', { from, isIt })).sinceEventMs!);
    await agent.settle();
  }
  stop.abort();
  await routes.return();
  await untilRight({ agent, node, store, prefix, leases });
  return samples;
}

/** The moment at which the next new route is announced. */
function nextRoute(events: AsyncGenerator<MonitorEvent, void, void>): () => Promise<number> {
  let waiting: ((now: number) => void) | undefined;
  void (async () => {
    for await (const event of events) {
      if (event.subject === 'route' && event.change === 'new') waiting?.(performance.now());
    }
  })();
  return () => {
    const { promise, resolve } = Promise.withResolvers<number>();
    waiting = resolve;
    return promise;
  };
}

async function measureResyncs({ agent }: Bench): Promise<{ wall: number[]; cpu: number[] }> {
  const samples = { wall: [] as number[], cpu: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    const next = agent.next('sync', { isIt: ({ isFull }) => isFull });
    agent.ask('resync');
    const { durationMs, cpuMs, mended } = await next;
    if (mended > 0) throw new Error(`a resync with nothing to do mended ${mended} differences`);
    samples.wall.push(durationMs);
    samples.cpu.push(cpuMs);
    await agent.settle();
  }
  return samples;
}

/** Nodes come, go and change, a thousand times in a second. @returns ms from the last change until the kernel is right */
async function measureStorm(bench: Bench, size: number): Promise<number> {
  const { store, prefix, leases } = bench;
  const start = performance.now();
  const pending: Promise<unknown>[] = [];
  for (let i = 0; i < STORM_CHANGES; i++) {
    const wait = start + (i * STORM_MS) / STORM_CHANGES - performance.now();
    if (wait > 1) await delay(wait);
    const number = (i * 7) % size;
    const lease = peerLease(number, { prefix, isDual, turn: (i % 3) + 1 });
    if (i % 3 === 0 && leases.has(lease.key)) {
      leases.delete(lease.key);
      pending.push(store.delete(lease.key));
    } else {
      leases.set(lease.key, lease);
      pending.push(store.put(lease.key, lease.value));
    }
    // The changes of one key are to come in this order.
    if (i % 8 === 7) await Promise.all(pending.splice(0));
  }
  await Promise.all(pending);
  const end = performance.now();
  await untilRight(bench);
  return performance.now() - end;
}

/** Waits until the kernel has what follows from the leases, and nothing else. */
async function untilRight({ node, leases }: Bench): Promise<void> {
  const wanted = wantedLines(leases.values(), isDual);
  let differences = '';
  for (let tries = 0; tries < RIGHT_TRIES; tries++) {
    const found = kernelLines(node.kernel.rtnl, isDual);
    const [missing, unwanted] = [wanted.difference(found), found.difference(wanted)];
    if (missing.size + unwanted.size === 0) return;
    differences = `${missing.size} missing: ${[...missing].slice(0, 3)}; ${unwanted.size} too many: ${[...unwanted].slice(0, 3)}`;
    await delay(RIGHT_DELAY_MS);
  }
  throw new Error(`the kernel does not become right: ${differences}`);
}

async function measureSize(server: EtcdServer, size: number): Promise<Measured> {
  const prefix = `/bench-${size}`;
  await using store = openEtcdDatastore({ endpoints: server.endpoints });
  const leases = Array.from({ length: size }, (_, number) => peerLease(number, { prefix, isDual }));
  await putLeases(store, leases);
  using cluster = createCluster(1, 'routed');
  const [node] = cluster.nodes as [TestNode];
  await using agent = new Agent({
    endpoints: server.endpoints,
    prefix,
    netns: node.netns.pin,
    config: benchConfig(isDual),
    families: isDual ? [4, 6] : [4],
  });
  const bench = { agent, node, store, prefix, leases: new Map(leases.map((lease) => [lease.key, lease])) };
  const ready = await agent.next('ready', { from: 0 });
  await untilRight(bench);
  await agent.settle();
  const { add, remove, addSeen } = await measureChanges(bench, size);
  const resync = await measureResyncs(bench);
  const storm = await measureStorm(bench, size);
  await agent.settle();
  const next = agent.next('memory');
  agent.ask('memory');
  const { maxRss, cpuMs } = await next;
  const row = (name: string, samples: number[]) => ({ name: `${size} ${name}`, ours: summarize(samples) });
  return {
    rows: [
      row('first programming', [ready.firstMs]),
      row('first programming: CPU time', [ready.cpuMs]),
      row('lease added: watch event to kernel', add),
      row('lease removed: watch event to kernel', remove),
      row('lease added: put to route announced', addSeen),
      row('resync, nothing to do', resync.wall),
      row('resync, nothing to do: CPU time', resync.cpu),
      row('storm: last change to right', [storm]),
    ],
    more: {
      [`${size} RSS after first programming MiB`]: Math.round(ready.maxRss),
      [`${size} largest RSS MiB`]: Math.round(maxRss),
      [`${size} CPU in all ms`]: Math.round(cpuMs),
    },
  };
}

if (options.throughput) {
  const { rows, more } = await measureThroughput(rounds);
  printResult('overlay', 'the same devices made by hand', rows, more);
} else {
  await using server = await startEtcd();
  const rows: Row[] = [];
  const more: Record<string, number> = {};
  for (const size of options.sizes.split(',').map(Number)) {
    const measured = await measureSize(server, size);
    rows.push(...measured.rows);
    Object.assign(more, measured.more);
  }
  printTable(rows);
  for (const [name, value] of Object.entries(more)) console.log(`${name}: ${value}`);
  console.log();
  printResult('overlay', 'none', rows, more);
}
