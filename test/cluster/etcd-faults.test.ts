// What becomes of entries, leases and watches when members of a real etcd die, are cut off, or forget.
import assert from 'node:assert/strict';
import { after, afterEach, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Datastore, openEtcdDatastore } from '@amphipod/fabric';
import { type EtcdNetwork, type NetworkedMember, startEtcdNetwork } from './etcd-network.ts';
import { etcdGateway } from './etcd-server.ts';
import { until } from './nodes.ts';

/** Keeps writing numbered entries and one with a time to live, while a watch listens. */
interface Witness extends AsyncDisposable {
  /** Numbers whose writing was confirmed. */
  confirmed: number[];
  /** Errors of writes, by code. */
  failures: string[];
  /** Events of the watch: `snapshot`, or the number of an entry. */
  told: (number | 'snapshot')[];
  /** Waits until so many more are confirmed, and the watch has told of the last. */
  untilGoesOn(count?: number): Promise<void>;
  /** Ends it; the watch must have told of all that was confirmed, once and in order, unless it began anew. */
  end(): Promise<void>;
}

const TTL_SECONDS = 30;

async function startWitness(store: Datastore, prefix: string): Promise<Witness> {
  const stop = new AbortController();
  const { signal } = stop;
  const confirmed: number[] = [];
  const failures: string[] = [];
  const told: Witness['told'] = [];
  const leased = await store.put(`${prefix}leased`, 'x', { ttlSeconds: TTL_SECONDS });
  const watching = (async () => {
    const options = { signal, fromRevision: leased.revision + 1n };
    for await (const event of store.watch(prefix, options)) {
      if (event.type === 'snapshot') told.push('snapshot');
      else {
        for (const change of event.changes) {
          assert.equal(change.type, 'put');
          told.push(Number(change.type === 'put' && change.entry.value));
        }
      }
    }
  })();
  const writing = (async () => {
    for (let number = 0; !signal.aborted; number++) {
      try {
        await store.put(`${prefix}n`, `${number}`, { signal });
        confirmed.push(number);
        assert.ok(await store.renew(leased, { signal }), 'the lease has run out');
        await delay(20);
      } catch (error) {
        if (signal.aborted) return;
        failures.push((error as { code: string }).code);
      }
    }
  })();
  const end = async () => {
    stop.abort();
    await Promise.all([watching, writing]);
  };
  const witness: Witness = {
    confirmed,
    failures,
    told,
    async untilGoesOn(count = 5) {
      const from = confirmed.length;
      await until(
        'entries are written and told of',
        () => {
          const wanted = confirmed[from + count - 1];
          return wanted !== undefined && told.some((one) => typeof one === 'number' && one >= wanted);
        },
        1200,
      );
    },
    async end() {
      await end();
      const numbers = told.filter((one) => typeof one === 'number');
      assert.deepEqual(
        numbers,
        [...new Set(numbers)].toSorted((a, b) => a - b),
        'twice, or out of order',
      );
      // A write whose answer was lost may have been made.
      const last = numbers.at(-1)!;
      const missing = confirmed.filter((number) => number <= last && !numbers.includes(number));
      if (!told.includes('snapshot')) assert.deepEqual(missing, []);
      assert.deepEqual(
        [...new Set(failures)].filter((code) => code !== 'unavailable'),
        [],
      );
    },
    [Symbol.asyncDispose]: end,
  };
  await witness.untilGoesOn();
  return witness;
}

suite('etcd of three members', () => {
  let network: EtcdNetwork;
  let count = 0;
  const open = (first?: NetworkedMember) => {
    const endpoints = network.endpoints.toSorted(
      (a, b) => Number(b === first?.endpoint) - Number(a === first?.endpoint),
    );
    return openEtcdDatastore({ endpoints });
  };
  const freshPrefix = () => `/test-${++count}/`;
  before(async () => {
    network = await startEtcdNetwork();
  });
  after(() => network[Symbol.asyncDispose]());
  /** All members are there and agree before the next test. */
  afterEach(async () => {
    for (const member of network.members) {
      await until('it answers', () =>
        etcdGateway(member.endpoint, 'kv/range', { key: 'Lw==' }).then(
          () => true,
          () => false,
        ),
      );
    }
  });

  const followers = async () => {
    const leader = await network.leader();
    return network.members.filter((member) => member !== leader) as [NetworkedMember, NetworkedMember];
  };

  test('a member that is no leader is killed and comes back', async () => {
    const [follower] = await followers();
    await using store = open(follower);
    await using witness = await startWitness(store, freshPrefix());
    await follower.kill();
    await witness.untilGoesOn();
    await follower.start();
    await witness.untilGoesOn();
    await witness.end();
  });

  test('the leader is killed and comes back', async () => {
    const leader = await network.leader();
    await using store = open(leader);
    await using witness = await startWitness(store, freshPrefix());
    await leader.kill();
    await witness.untilGoesOn();
    await leader.start();
    await witness.untilGoesOn();
    assert.ok(!witness.told.includes('snapshot'));
    await witness.end();
  });

  test('two members are killed: nothing is written until one is back', async () => {
    await using store = open();
    await using witness = await startWitness(store, freshPrefix());
    const [one, two] = network.members;
    await Promise.all([one.kill(), two.kill()]);
    await until('writes fail', () => witness.failures.length > 2, 1200);
    const before = witness.confirmed.length;
    await until('more writes fail', () => witness.failures.length > 4, 1200);
    assert.equal(witness.confirmed.length, before);
    await Promise.all([one.start(), two.start()]);
    await witness.untilGoesOn();
    assert.ok(!witness.told.includes('snapshot'));
    await witness.end();
  });

  test('all members are killed and come back', async () => {
    await using store = open();
    await using witness = await startWitness(store, freshPrefix());
    await Promise.all(network.members.map((member) => member.kill()));
    await until('writes fail', () => witness.failures.length > 0, 1200);
    await Promise.all(network.members.map((member) => member.start()));
    await witness.untilGoesOn();
    assert.ok(!witness.told.includes('snapshot'));
    await witness.end();
  });

  test('a member is cut off from the others, but not from us: we leave it', async () => {
    const [follower] = await followers();
    await using store = open(follower);
    await using witness = await startWitness(store, freshPrefix());
    follower.cutFromPeers();
    await witness.untilGoesOn();
    follower.heal();
    await witness.untilGoesOn();
    assert.ok(!witness.told.includes('snapshot'));
    await witness.end();
  });

  test('the leader is cut off from the others, but not from us: the others choose another', async () => {
    const leader = await network.leader();
    await using store = open(leader);
    await using witness = await startWitness(store, freshPrefix());
    leader.cutFromPeers();
    await witness.untilGoesOn();
    leader.heal();
    await witness.untilGoesOn();
    assert.ok(!witness.told.includes('snapshot'));
    await witness.end();
  });

  test('packets to and from the member that we talk to get lost without a word', async () => {
    const [follower] = await followers();
    await using store = open(follower);
    await using witness = await startWitness(store, freshPrefix());
    follower.isolate();
    await witness.untilGoesOn();
    follower.heal();
    await witness.untilGoesOn();
    await witness.end();
  });

  test('what a watch has not heard of is compacted while its member is cut off: it begins anew', async () => {
    const [follower, other] = await followers();
    const prefix = freshPrefix();
    await using writer = open(other);
    await using store = open(follower);
    const gone = await writer.put(`${prefix}gone`, '1');
    const stop = new AbortController();
    const events = store.watch(prefix, { signal: stop.signal })[Symbol.asyncIterator]();
    const first = (await events.next()).value!;
    assert.deepEqual([first.type, first.type === 'snapshot' && first.entries], ['snapshot', [gone]]);
    follower.isolate();
    await writer.delete(gone.key);
    const kept = await writer.put(`${prefix}kept`, '2');
    await etcdGateway(other.endpoint, 'kv/compaction', { revision: `${kept.revision}` });
    const second = (await events.next()).value!;
    assert.deepEqual([second.type, second.type === 'snapshot' && second.entries], ['snapshot', [kept]]);
    follower.heal();
    await writer.delete(kept.key);
    const third = (await events.next()).value!;
    assert.ok(third.type === 'changes');
    assert.partialDeepStrictEqual(third.changes, [{ type: 'delete', key: kept.key }]);
    stop.abort();
    assert.equal((await events.next()).done, true);
  });
});
