/**
 * Network policy on one node with 100 local pods: the first programming, changes of pods, and what two pods carry through the
 * rules. `bench/policy.ts [POLICIES [ROUNDS]]`
 */
import { execFileSync } from 'node:child_process';
import { PolicyWorld, resourceKey, startPolicy } from '@amphipod/fabric/policy';
import { openNftIn } from '@amphipod/netlink';
import { createPodNetwork, type PodNetwork } from '../test/kernel/policy-pods.ts';
import { connectionRate, throughput } from './lib/policy-traffic.ts';
import { localIp, podDocument, remoteIp, worldResources } from './lib/policy-world.ts';
import { printTable, type Row, summarize } from './report.ts';

const REMOTE_PODS = 10_000;
const CHANGES = 300;
const P99 = 0.99;

const policies = Number(process.argv[2]) || 10_000;
const rounds = Number(process.argv[3]) || 5;

type Nft = ReturnType<typeof openNftIn>;

const isLocal = ({ node }: { node?: string }) => node === undefined;

function worldOf(size: Parameters<typeof worldResources>[0]): PolicyWorld {
  const world = new PolicyWorld(isLocal);
  for (const resource of worldResources(size)) world.put(resource);
  return world;
}

/** Documents are read before: what is measured is the calculation and the kernel. */
function firstProgramming(nft: Nft, count: number): { ms: number; cpuMs: number; rssMiB: number } {
  const resources = worldResources({ policies: count, remotePods: REMOTE_PODS });
  const start = performance.now();
  const cpu = process.cpuUsage();
  const world = new PolicyWorld(isLocal);
  for (const resource of resources) world.put(resource);
  using policy = startPolicy({ world, nft });
  const ms = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  const cpuMs = (user + system) / 1000;
  const rssMiB = process.memoryUsage.rss() / 2 ** 20;
  policy.remove();
  return { ms, cpuMs, rssMiB };
}

function changes(nft: Nft): Map<string, number[]> {
  const world = worldOf({ policies, remotePods: REMOTE_PODS });
  using policy = startPolicy({ world, nft });
  const samples = new Map<string, number[]>();
  const measure = (name: string, change: () => void) => {
    const start = performance.now();
    change();
    if (policy.apply() === 0) throw new Error(`${name}: nothing had to be changed in the kernel`);
    samples.set(name, [...(samples.get(name) ?? []), performance.now() - start]);
  };
  for (let index = 0; index < CHANGES; index++) {
    const namespace = `ns-${index % 100}`;
    const web = podDocument(`new-${index}`, '10.1.0.200', { namespace, labels: { app: 'web' } });
    const other = podDocument(`new-${index}`, '10.1.0.200', { namespace, labels: { app: 'other' } });
    const client = (app: string) =>
      podDocument(`remote-new-${index}`, remoteIp(REMOTE_PODS + index), {
        namespace,
        labels: { app },
        node: 'other',
      });
    measure('local pod added', () => world.put(web));
    measure('local pod relabelled', () => world.put(other));
    measure('local pod removed', () => world.remove(resourceKey(other.origin)));
    measure('remote pod added', () => world.put(client('client-1')));
    measure('remote pod relabelled', () => world.put(client('nobody')));
    // Of one that no policy is about there is nothing to remove.
    world.put(client('client-1'));
    policy.apply();
    measure('remote pod removed', () => world.remove(resourceKey(client('x').origin)));
  }
  policy.remove();
  return samples;
}

/** The rules of all policies one behind the other, as a plain chain of iptables has them. */
function plainChain(network: PodNetwork): void {
  const rules = Array.from({ length: policies }, (_, index) => {
    return `-A policy -s ${remoteIp(index)} -d ${localIp(index % 100)} -p tcp -m multiport --dports 80,5201 -j ACCEPT`;
  });
  const [from, to] = network.pods.map(({ ips }) => ips[0]);
  const lines = [
    ...['*filter', ':policy - [0:0]', '-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT'],
    ...[
      '-A FORWARD -j policy',
      ...rules,
      `-A policy -s ${from} -d ${to} -j ACCEPT`,
      '-A policy -j DROP',
      'COMMIT',
    ],
  ];
  const command = [`--net=${network.host.pin}`, 'iptables-restore'];
  execFileSync('nsenter', command, { input: `${lines.join('\n')}\n` });
}

interface Side {
  name: string;
  enter(): () => void;
}

/** Each in turn, round by round, so that all have the same machine. */
async function traffic(
  network: PodNetwork,
  nft: Nft,
): Promise<Map<string, { bits: number[]; connections: number[] }>> {
  const ours = (count: number) => () => {
    const world = worldOf({ policies: count, remotePods: count === 1 ? 0 : REMOTE_PODS });
    const client = podDocument('client', network.pods[0]!.ips[0]!, {
      namespace: 'ns-0',
      labels: { app: 'client-0' },
    });
    world.put(client);
    world.put(podDocument('target', network.pods[1]!.ips[0]!, { namespace: 'ns-0', labels: { app: 'web' } }));
    const policy = startPolicy({ world, nft });
    return () => {
      policy.remove();
    };
  };
  const sides: Side[] = [
    { name: 'one policy', enter: ours(1) },
    { name: `${policies} policies`, enter: ours(policies) },
    {
      name: `${policies} rules of iptables`,
      enter: () => {
        plainChain(network);
        return () => network.host.run('nft', 'flush', 'ruleset');
      },
    },
  ];
  const results = new Map(
    sides.map(({ name }) => [name, { bits: [] as number[], connections: [] as number[] }]),
  );
  for (let round = 0; round < rounds; round++) {
    for (const { name, enter } of sides) {
      const leave = enter();
      results.get(name)!.connections.push(await connectionRate(network));
      results.get(name)!.bits.push(await throughput(network));
      leave();
    }
  }
  return results;
}

const median = (list: readonly number[]) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)]!;
const p99 = (list: readonly number[]) => list.toSorted((a, b) => a - b)[Math.ceil(list.length * P99) - 1]!;
const short = (value: number) => Number(value.toPrecision(4));

await using network = await createPodNetwork('routed', [
  ['10.0.0.1', 'fd00::1'],
  ['10.0.0.2', 'fd00::2'],
]);
using nft = openNftIn(network.host.pin);
console.log(`100 local pods, ${REMOTE_PODS} remote ones, ${policies} policies; ${rounds} rounds\n`);
const curve = [100, 1_000, policies].map((count) => ({ policies: count, ...firstProgramming(nft, count) }));
for (const { policies: count, ms, cpuMs, rssMiB } of curve) {
  console.log(
    `first programming, ${count} policies: ${ms.toFixed(0)} ms (CPU ${cpuMs.toFixed(0)} ms), process ${rssMiB.toFixed(0)} MiB`,
  );
}
const changed = changes(nft);
console.log();
printTable([...changed].map(([name, list]): Row => ({ name, ours: summarize(list) })));
console.log();
const carried = await traffic(network, nft);
const [base] = carried.values();
for (const [name, { bits, connections }] of carried) {
  const share = (list: readonly number[], of: readonly number[]) => (median(list) / median(of)).toFixed(3);
  console.log(
    `${name}: ${(median(bits) / 1e9).toFixed(2)} Gbit/s (${share(bits, base!.bits)}), ` +
      `${median(connections).toFixed(0)} connections/s (${share(connections, base!.connections)})`,
  );
}
console.log();
console.log(
  JSON.stringify({
    bench: 'policy',
    firstProgramming: curve.map(({ policies: count, ms, cpuMs, rssMiB }) => ({
      policies: count,
      ms: short(ms),
      cpuMs: short(cpuMs),
      rssMiB: short(rssMiB),
    })),
    p99: Object.fromEntries([...changed].map(([name, list]) => [name, short(p99(list))])),
    carried: Object.fromEntries(
      [...carried].map(([name, { bits, connections }]) => [
        name,
        { bits: short(median(bits)), connections: short(median(connections)) },
      ]),
    ),
  }),
);
