import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type IpAddress, parseIp } from '@amphipod/netlink';
import { parseDocument } from '../documents/parse-document.ts';
import { type Resource, resourceKey } from '../documents/resources.ts';
import { decideFlow } from '../model/decide-flow.ts';
import { PolicyWorld } from '../model/policy-world.ts';
import { evaluate, type Probe } from '../reference/evaluate.ts';
import { Random } from '../reference/random.ts';
import { randomWorld } from '../reference/random-world.ts';
import { PolicyEngine } from './engine.ts';
import { changeOps, tableOps } from './rule-ops.ts';
import { NftSimulator } from './testing-simulator.ts';

/** Some seconds' worth; the suite of before a release asks for 5,000. */
const WORLDS = Number(process.env.AMPHIPOD_POLICY_WORLDS ?? 1_000);

function parseAll(documents: readonly object[], file: string): Resource[] {
  return documents.map((one, index) => parseDocument(one, { file, document: index + 1 }));
}

function text(value: object): string {
  return JSON.stringify(value, (_key, one: unknown) => (typeof one === 'bigint' ? one.toString(16) : one));
}

describe('the rules of the engine', () => {
  it(`let through what the reference evaluator lets through, in ${WORLDS} random worlds`, () => {
    const counts = { accept: 0, drop: 0 };
    for (let seed = 0; seed < WORLDS; seed++) {
      const { documents, probes } = randomWorld(1_000_000 + seed, 20);
      const resources = parseAll(documents, `world ${seed}`);
      const world = new PolicyWorld();
      for (const resource of resources) world.put(resource);
      const engine = new PolicyEngine(world);
      engine.takeChanges();
      const nft = new NftSimulator();
      nft.run(tableOps(engine.wanted()));
      for (const probe of probes) {
        const expected = evaluate(resources, probe).isAllowed ? 'accept' : 'drop';
        assert.equal(nft.forward(probe), expected, `seed ${seed}: ${text(probe)}: ${nft.droppedBy}`);
        counts[expected]++;
      }
    }
    for (const count of Object.values(counts)) assert.ok(count > WORLDS, JSON.stringify(counts));
  });

  it('are the same whether they came step by step or at once', () => {
    for (let seed = 0; seed < WORLDS / 10; seed++) {
      const random = new Random(seed);
      const worlds = [randomWorld(2_000_000 + seed, 20), randomWorld(3_000_000 + seed, 20)];
      // Two worlds with the same names: each resource changes, goes and comes.
      const versions = worlds.flatMap(({ documents }, index) => parseAll(documents, `world ${index}`));
      const world = new PolicyWorld();
      const engine = new PolicyEngine(world);
      const nft = new NftSimulator();
      engine.takeChanges();
      nft.run(tableOps(engine.wanted()));
      const there = new Map<string, Resource>();
      for (let step = 0; step < 60; step++) {
        for (let change = random.below(3); change >= 0; change--) {
          const resource = random.pick(versions);
          const key = resourceKey(resource.origin);
          if (random.isTrue(0.3)) {
            there.delete(key);
            world.remove(key);
          } else {
            there.delete(key);
            there.set(key, resource);
            world.put(resource);
          }
        }
        nft.run(changeOps(engine.takeChanges()));
      }
      checkLikeNew({ nft, engine, world, seed, probes: worlds.flatMap(({ probes }) => probes) });
      for (const key of there.keys()) world.remove(key);
      nft.run(changeOps(engine.takeChanges()));
      assert.deepEqual([...nft.chains.keys()].toSorted(), ['forward', 'input'], `seed ${seed}`);
      const left = [...nft.sets.values()].filter(
        ({ elements, set }) => set.set !== 'neighbour' && elements.size > 0,
      );
      assert.equal(left.length, 0, `seed ${seed}`);
      assert.equal(nft.sets.size, 7, `seed ${seed}`);
    }
  });

  function checkLikeNew({
    nft,
    engine,
    world,
    seed,
    probes,
  }: {
    nft: NftSimulator;
    engine: PolicyEngine;
    world: PolicyWorld;
    seed: number;
    probes: Probe[];
  }) {
    const anew = new PolicyEngine(world);
    anew.takeChanges();
    const other = new NftSimulator();
    other.run(tableOps(anew.wanted()));
    const again = new NftSimulator();
    again.run(tableOps(engine.wanted()));
    for (const table of [other, again]) {
      assert.deepEqual(
        [...nft.chains.keys()].toSorted(),
        [...table.chains.keys()].toSorted(),
        `seed ${seed}`,
      );
      for (const [name, { elements }] of table.sets) {
        assert.deepEqual(
          new Set(nft.sets.get(name)!.elements.keys()),
          new Set(elements.keys()),
          `seed ${seed}: ${name}`,
        );
      }
    }
    for (const probe of probes) {
      const expected = decideFlow(world, probe).isAllowed ? 'accept' : 'drop';
      assert.equal(nft.forward(probe), expected, `seed ${seed}: ${text(probe)}`);
    }
  }
});

const pod = (name: string, ip: string, labels: object = { app: name }) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'shop', labels },
  status: { podIPs: [{ ip }] },
});

const allowFrom = (name: string, from: string, to = 'web') => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name, namespace: 'shop' },
  spec: {
    podSelector: { matchLabels: { app: to } },
    ingress: [{ from: [{ podSelector: { matchLabels: { app: from } } }], ports: [{ port: 80 }] }],
  },
});

function fixture(documents: readonly object[]) {
  const world = new PolicyWorld();
  for (const resource of parseAll(documents, 'test')) world.put(resource);
  const engine = new PolicyEngine(world);
  const nft = new NftSimulator();
  engine.takeChanges();
  nft.run(tableOps(engine.wanted()));
  const put = (document: object) => {
    world.put(parseDocument(document, { file: 'test', document: 1 }));
    const ops = changeOps(engine.takeChanges());
    nft.run(ops);
    return ops;
  };
  const remove = (key: string) => {
    world.remove(key);
    const ops = changeOps(engine.takeChanges());
    nft.run(ops);
    return ops;
  };
  return { world, engine, nft, put, remove };
}

const tcp = (src: string, dst: string, dstPort = 80): Probe => {
  const ends: [IpAddress, IpAddress] = [parseIp(src), parseIp(dst)];
  return { src: ends[0], dst: ends[1], protocol: 6, srcPort: 40_000, dstPort };
};

describe('the cost of rules', () => {
  it('of a packet does not grow with the number of policies that differ in their peers', () => {
    const stepsWith = (count: number) => {
      const policies = Array.from({ length: count }, (_, index) => allowFrom(`p${index}`, `client${index}`));
      const { nft } = fixture([pod('web', '10.0.0.1'), pod('client0', '10.0.0.2'), ...policies]);
      assert.equal(nft.forward(tcp('10.0.0.2', '10.0.0.1')), 'accept');
      return nft.steps;
    };
    assert.equal(stepsWith(500), stepsWith(1));
  });

  it('of a change is what it touches', () => {
    const policies = Array.from({ length: 50 }, (_, index) =>
      allowFrom(`p${index}`, 'client', `web${index}`),
    );
    const webs = Array.from({ length: 50 }, (_, index) => pod(`web${index}`, `10.0.1.${index}`));
    const { put, remove } = fixture([...webs, ...policies, pod('client', '10.0.0.2')]);
    const added = put(pod('second', '10.0.0.3', { app: 'client' }));
    // Into the one set of all clients, and into that of own addresses.
    assert.deepEqual(
      added.map(({ op, object }) => `${op} ${object}`),
      ['add elements', 'add elements'],
    );
    assert.equal(remove('Pod.core shop/second').length, 2);
    assert.deepEqual(put(pod('client', '10.0.0.2')), []);
    // Two pods with the same policies have one chain.
    const twin = put(pod('twin', '10.0.0.4', { app: 'web1' }));
    assert.ok(twin.every(({ object }) => object === 'elements'));
  });

  it('of a new policy is its chain and the way to it', () => {
    const { put, nft } = fixture([pod('web', '10.0.0.1'), pod('client', '10.0.0.2')]);
    assert.equal(nft.forward(tcp('10.0.0.9', '10.0.0.1')), 'accept');
    const ops = put(allowFrom('only-clients', 'client'));
    assert.deepEqual(
      ops.map(({ op, object }) => `${op} ${object}`),
      ['add set', 'add elements', 'add chain', 'add rule', 'add rule', 'add elements'],
    );
    assert.equal(nft.forward(tcp('10.0.0.9', '10.0.0.1')), 'drop');
    assert.equal(nft.droppedBy, 'end of tier default');
    assert.equal(nft.forward(tcp('10.0.0.2', '10.0.0.1')), 'accept');
  });
});

describe('rules of Calico', () => {
  const calico = (ingress: object[]) => ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'GlobalNetworkPolicy',
    metadata: { name: 'rules' },
    spec: { selector: "app == 'web'", ingress },
  });
  const pods = [pod('web', '10.0.0.1'), pod('a', '10.0.0.2'), pod('b', '10.0.0.3')];

  it('that allow all but one kind of ICMP message allow its other codes', () => {
    const { nft } = fixture([
      ...pods,
      calico([{ action: 'Allow', protocol: 'ICMP', notICMP: { type: 8, code: 1 } }]),
    ]);
    const [src, dst] = [parseIp('10.0.0.2'), parseIp('10.0.0.1')];
    const verdict = (type: number, code: number) =>
      nft.forward({ src, dst, protocol: 1, icmp: { type, code } });
    assert.deepEqual([verdict(8, 1), verdict(8, 0), verdict(3, 1)], ['drop', 'accept', 'accept']);
  });

  it('that differ in who is not meant stay two rules', () => {
    const source = (notSelector: string) => ({
      action: 'Allow',
      source: { selector: 'has(app)', notSelector },
    });
    const { nft } = fixture([...pods, calico([source("app in {'a', 'b'}"), source("app == 'a'")])]);
    assert.equal(nft.forward(tcp('10.0.0.3', '10.0.0.1')), 'accept');
    assert.equal(nft.forward(tcp('10.0.0.2', '10.0.0.1')), 'drop');
  });
});

describe('addresses', () => {
  it('belong to the pod that had them last (address reuse)', () => {
    const { put, remove, nft } = fixture([
      pod('web', '10.0.0.1'),
      allowFrom('a', 'client'),
      pod('client', '10.0.0.2'),
    ]);
    put(pod('stranger', '10.0.0.2'));
    assert.equal(nft.forward(tcp('10.0.0.2', '10.0.0.1')), 'drop');
    remove('Pod.core shop/stranger');
    assert.equal(nft.forward(tcp('10.0.0.2', '10.0.0.1')), 'accept');
    put({ ...pod('client', '10.0.0.2'), status: { phase: 'Succeeded', podIPs: [{ ip: '10.0.0.2' }] } });
    assert.equal(nft.forward(tcp('10.0.0.2', '10.0.0.1')), 'drop');
  });
});
