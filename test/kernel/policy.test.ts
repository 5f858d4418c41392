import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { formatIp, openNftIn } from '@amphipod/netlink';
import { parseDocument } from '../../packages/fabric/src/policy/documents/parse-document.ts';
import { readDocuments } from '../../packages/fabric/src/policy/documents/read-documents.ts';
import { resourceKey } from '../../packages/fabric/src/policy/documents/resources.ts';
import { startPolicy } from '../../packages/fabric/src/policy/kernel/start-policy.ts';
import { PolicyWorld } from '../../packages/fabric/src/policy/model/policy-world.ts';
import { evaluate, type Probe } from '../../packages/fabric/src/policy/reference/evaluate.ts';
import { randomWorld } from '../../packages/fabric/src/policy/reference/random-world.ts';
import { createTestNetns } from './netlink-namespaces.ts';
import { createPodNetwork, type PodNetwork, type ProbedPod } from './policy-pods.ts';

/** Where the pods of random worlds are. */
const worldAddresses = Array.from(
  { length: 8 },
  (_, index) => [`10.0.${index % 2}.${index + 1}`, `fd00:${index % 2}::${index + 1}`] as const,
);
const PROBES = Number(process.env.AMPHIPOD_POLICY_PROBES ?? 200);
const PROBES_A_WORLD = 40;

const protocols = { 1: 'icmp', 58: 'icmp', 6: 'tcp', 17: 'udp' } as const;

/** What a prober can try of what a world asks: the source port and the kind of ICMP message are not ours to choose. */
function triable({ protocol, icmp }: Probe): boolean {
  return protocol in protocols && (icmp === undefined || icmp.code === 0);
}

describe('packets between pods', () => {
  for (const kind of ['bridged', 'routed'] as const) {
    it(`${kind}: pass where the reference evaluator lets them, ${PROBES} times`, async (t) => {
      await using network = await createPodNetwork(kind, worldAddresses);
      using nft = openNftIn(network.host.pin);
      const counts = { passed: 0, dropped: 0 };
      for (let seed = 0; counts.passed + counts.dropped < PROBES; seed++) {
        await probeWorld({ network, nft, seed: 5_000_000 + seed, counts });
      }
      assert.ok(counts.passed > PROBES / 10 && counts.dropped > PROBES / 10, JSON.stringify(counts));
      t.diagnostic(JSON.stringify(counts));
    });
  }
});

interface WorldProbes {
  network: PodNetwork;
  nft: ReturnType<typeof openNftIn>;
  seed: number;
  counts: { passed: number; dropped: number };
}

async function probeWorld({ network, nft, seed, counts }: WorldProbes): Promise<void> {
  const { documents, probes } = randomWorld(seed, PROBES_A_WORLD);
  const resources = documents.map((one, index) =>
    parseDocument(one, { file: `world ${seed}`, document: index + 1 }),
  );
  const world = new PolicyWorld();
  for (const resource of resources) world.put(resource);
  using policy = startPolicy({ world, nft });
  const byIp = new Map(network.pods.flatMap((pod) => pod.ips.map((ip) => [ip, pod] as const)));
  await Promise.all(
    probes.filter(triable).map(async (probe) => {
      const [from, to] = [byIp.get(formatIp(probe.src)), byIp.get(formatIp(probe.dst))];
      if (from === undefined || to === undefined || from === to) return;
      const echo = probe.protocol === 58 ? 128 : 8;
      // Source ports are what the kernel chooses: far from any port that documents name.
      const asked: Probe = probe.icmp
        ? { ...probe, icmp: { type: echo, code: 0 } }
        : { ...probe, srcPort: 40_000 };
      const isReached = await from.reaches(
        protocols[probe.protocol as keyof typeof protocols],
        formatIp(probe.dst),
        probe.dstPort,
      );
      const expected = evaluate(resources, asked);
      assert.equal(isReached, expected.isAllowed, `seed ${seed}: ${describeProbe(asked)}: ${expected.by}`);
      counts[isReached ? 'passed' : 'dropped']++;
    }),
  );
  policy.remove();
}

function describeProbe({ src, dst, protocol, dstPort }: Probe): string {
  return `${formatIp(src)} to ${formatIp(dst)} protocol ${protocol} port ${dstPort ?? '-'}`;
}

const twoPods = `
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
status: {podIPs: [{ip: 10.0.0.1}, {ip: "fd00:0::1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, labels: {app: client}}
status: {podIPs: [{ip: 10.0.1.2}, {ip: "fd00:1::2"}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny-all}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
`;

function worldOf(text: string): PolicyWorld {
  const { resources, problems } = readDocuments(text, 'test');
  assert.deepEqual(problems, []);
  const world = new PolicyWorld();
  for (const resource of resources) world.put(resource);
  return world;
}

function put(world: PolicyWorld, text: string): void {
  for (const resource of readDocuments(text, 'test').resources) world.put(resource);
}

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if (await isSo()) return;
    await delay(50);
  }
  assert.fail(`not within 5 s: ${what}`);
}

describe('a node and its pods', () => {
  it('the node reaches its pods under deny-all, and they reach nothing (POL-08)', async () => {
    await using network = await createPodNetwork('bridged', worldAddresses.slice(0, 2));
    const [web, client] = network.pods as [ProbedPod, ProbedPod];
    using nft = openNftIn(network.host.pin);
    assert.equal(await client.reaches('tcp', '10.0.0.1', 80), true);
    const world = worldOf(twoPods);
    using policy = startPolicy({ world, nft });
    for (const ip of web.ips) {
      assert.equal(await client.reaches('tcp', ip, 80), false);
      network.host.run('ping', '-c', '1', '-W', '2', '-n', ip);
    }
    // The gateway is the node itself: egress policies decide about it.
    assert.equal(await client.reaches('icmp', '10.0.255.254'), false);
    assert.equal(await client.reaches('icmp', 'fd00::ff'), false);
    policy.remove();
    assert.equal(await client.reaches('icmp', '10.0.255.254'), true);
  });
});

describe('the table in the kernel', () => {
  const ruleset = (run: ReturnType<typeof createTestNetns>['run']) =>
    run('nft', 'list', 'table', 'inet', 'amphipod_policy').replace(
      /counter packets \d+ bytes \d+/g,
      'counter',
    );

  it('is mended after a flush, a deleted rule, a deleted element; tables of others are left alone', async () => {
    using netns = createTestNetns();
    using nft = openNftIn(netns.pin);
    let mended = 0;
    using _policy = startPolicy({ world: worldOf(twoPods), nft, onMend: () => mended++ });
    const before = ruleset(netns.run);
    const deletions: (readonly string[])[] = [
      ['flush', 'ruleset'],
      ['delete', 'table', 'inet', 'amphipod_policy'],
      ['flush', 'chain', 'inet', 'amphipod_policy', 'forward'],
      ['delete', 'element', 'inet', 'amphipod_policy', 'ingress4', '{ 10.0.0.1 }'],
      ['add', 'element', 'inet', 'amphipod_policy', 'self4', '{ 10.0.0.1 . 10.0.0.2 }'],
      ['insert', 'rule', 'inet', 'amphipod_policy', 'forward', 'accept'],
      ['add', 'chain', 'inet', 'amphipod_policy', 'other'],
      ['add', 'table', 'inet', 'amphipod_policy', '{ flags dormant; }'],
    ];
    for (const [index, args] of deletions.entries()) {
      netns.run('nft', ...args);
      await until(
        `mended after nft ${args.join(' ')}`,
        () => mended === index + 1 && ruleset(netns.run) === before,
      );
    }
    netns.run('nft', 'add', 'table', 'ip', 'others');
    netns.run('nft', 'add', 'chain', 'ip', 'others', 'c');
    await delay(600);
    assert.equal(mended, deletions.length);
    assert.match(netns.run('nft', 'list', 'table', 'ip', 'others'), /chain c/);
  });

  it('takes changes up after somebody has flushed it', () => {
    using netns = createTestNetns();
    using nft = openNftIn(netns.pin);
    const world = worldOf(twoPods);
    using policy = startPolicy({ world, nft });
    netns.run('nft', 'flush', 'ruleset');
    put(world, 'apiVersion: v1\nkind: Pod\nmetadata: {name: third}\nstatus: {podIP: 10.0.0.3}');
    policy.apply();
    assert.match(ruleset(netns.run), /10\.0\.0\.3 : jump ingress4-/);
    world.remove(
      resourceKey({
        kind: 'NetworkPolicy',
        group: 'networking.k8s.io',
        namespace: 'default',
        name: 'deny-all',
      }),
    );
    policy.apply();
    assert.doesNotMatch(ruleset(netns.run), /jump/);
    assert.equal(policy.apply(), 0);
  });

  it('goes through random changes as the kernel takes them', () => {
    using netns = createTestNetns();
    using nft = openNftIn(netns.pin);
    for (let seed = 0; seed < 20; seed++) {
      const world = new PolicyWorld();
      using policy = startPolicy({ world, nft });
      const versions = [seed, seed + 1000].flatMap((one) => randomWorld(one, 0).documents);
      const resources = versions.map((one, index) => parseDocument(one, { file: 'w', document: index + 1 }));
      for (const resource of resources) {
        world.put(resource);
        policy.apply();
      }
      for (const { origin } of resources.toReversed()) {
        world.remove(resourceKey(origin));
        policy.apply();
      }
      const left = ruleset(netns.run);
      assert.doesNotMatch(left, /members|ports|nets|end of tier|elements = \{ 10/, `seed ${seed}`);
      policy.remove();
    }
  });
});
