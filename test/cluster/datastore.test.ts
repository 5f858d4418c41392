// One suite over all datastores, and what each of them has of its own.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type Change,
  type Datastore,
  type DatastoreServer,
  openEmbeddedDatastore,
  openEtcdDatastore,
  type ServedStore,
  serveDatastore,
  type WatchEvent,
} from '@amphipod/fabric';
import { type EtcdServer, etcdGateway, startEtcd } from './etcd-server.ts';
import { until } from './nodes.ts';

interface Subject {
  name: string;
  start(): Promise<void>;
  stop(): Promise<void>;
  open(): Datastore;
  /** Makes the store forget the changes up to the newest. */
  compact(store: Datastore): Promise<void>;
}

const historyRevisions = 20n;

function embeddedSubject(): Subject {
  let dir = '';
  let count = 0;
  return {
    name: 'embedded',
    start: async () => {
      dir = mkdtempSync(join(tmpdir(), 'datastore-test-'));
    },
    stop: async () => rmSync(dir, { recursive: true }),
    open: () => openEmbeddedDatastore(join(dir, `${++count}.db`), { historyRevisions }),
    compact: async (store) => {
      for (let i = 0n; i <= historyRevisions; i++) await store.put('/elsewhere', `${i}`);
    },
  };
}

function etcdSubject(): Subject {
  let server: EtcdServer;
  return {
    name: 'etcd',
    start: async () => {
      server = await startEtcd();
    },
    stop: async () => server[Symbol.asyncDispose](),
    open: () => openEtcdDatastore({ endpoints: server.endpoints }),
    compact: async (store) => {
      const { revision } = await store.put('/elsewhere', 'x');
      await etcdGateway(server.endpoints[0]!, 'kv/compaction', { revision: `${revision}` });
    },
  };
}

/** The embedded one, as an agent serves it to those of other nodes. */
function servedSubject(): Subject {
  const beneath = embeddedSubject();
  let store: ServedStore;
  let server: DatastoreServer;
  return {
    name: 'embedded, served',
    start: async () => {
      await beneath.start();
      store = beneath.open() as ServedStore;
      server = await serveDatastore(store, { address: '127.0.0.1:0' });
    },
    stop: async () => {
      await server[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      await beneath.stop();
    },
    open: () => openEtcdDatastore({ endpoints: [server.endpoint] }),
    compact: beneath.compact,
  };
}

/** Reads a watch event by event. */
function reader(store: Datastore, prefix: string, fromRevision?: bigint) {
  const stop = new AbortController();
  const options = { signal: stop.signal, ...(fromRevision !== undefined && { fromRevision }) };
  const events = store.watch(prefix, options)[Symbol.asyncIterator]();
  return {
    async next(): Promise<WatchEvent> {
      const { value, done } = await events.next();
      assert.ok(!done, 'the watch has ended');
      return value;
    },
    /** Changes until there are `count`, whatever events they came in. */
    async changes(count: number): Promise<string[]> {
      const texts: string[] = [];
      while (texts.length < count) {
        const event = await this.next();
        assert.ok(event.type === 'changes', `expected changes, got a ${event.type}`);
        texts.push(...event.changes.map(changeText));
      }
      return texts;
    },
    async end(): Promise<void> {
      stop.abort();
      assert.equal((await events.next()).done, true);
    },
  };
}

function changeText(change: Change): string {
  return change.type === 'put' ? `${change.entry.key}=${change.entry.value}` : `${change.key} gone`;
}

for (const subject of [embeddedSubject(), etcdSubject(), servedSubject()]) {
  suite(`datastore: ${subject.name}`, () => {
    let prefix = '';
    let count = 0;
    before(() => subject.start());
    after(() => subject.stop());
    /** A prefix that no other test uses. */
    const fresh = () => {
      prefix = `/test-${++count}/`;
      return prefix;
    };

    test('entries are written, read, listed by prefix in order, and deleted', async () => {
      await using store = subject.open();
      const at = fresh();
      assert.equal(await store.get(`${at}b`), undefined);
      const b = await store.put(`${at}b`, 'two');
      const a = await store.put(`${at}a`, '{"text":"ä€"}');
      await store.put(`${at.slice(0, -1)}0`, 'beside the prefix');
      assert.deepEqual(await store.get(`${at}a`), a);
      assert.equal(a.revision, b.revision + 1n);
      const listed = await store.list(at);
      assert.deepEqual(listed.entries, [a, b]);
      assert.equal(listed.revision, a.revision + 1n);
      assert.equal(await store.delete(`${at}a`), true);
      assert.equal(await store.delete(`${at}a`), false);
      assert.deepEqual((await store.list(at)).entries, [b]);
    });

    test('a change goes through only when the key is as expected', async () => {
      await using store = subject.open();
      const key = `${fresh()}k`;
      const made = await store.put(key, '1', { expected: 0n });
      await assert.rejects(store.put(key, '2', { expected: 0n }), { code: 'conflict' });
      const changed = await store.put(key, '2', { expected: made.revision });
      await assert.rejects(store.put(key, '3', { expected: made.revision }), { code: 'conflict' });
      await assert.rejects(store.delete(key, { expected: made.revision }), { code: 'conflict' });
      assert.deepEqual(await store.get(key), changed);
      assert.equal(await store.delete(key, { expected: changed.revision }), true);
    });

    test('of many that create one key at the same time one wins', async () => {
      await using store = subject.open();
      const key = `${fresh()}k`;
      const tries = Array.from({ length: 20 }, (_, i) =>
        store.put(key, `${i}`, { expected: 0n, ttlSeconds: 60 }),
      );
      const results = await Promise.allSettled(tries);
      const winners = results.filter((result) => result.status === 'fulfilled');
      assert.equal(winners.length, 1);
      assert.deepEqual(await store.get(key), winners[0]!.value);
    });

    test('a watch begins with what is there and tells of every change under its prefix', async () => {
      await using store = subject.open();
      const at = fresh();
      const first = await store.put(`${at}a`, '1');
      const watch = reader(store, at);
      const snapshot = await watch.next();
      assert.ok(snapshot.type === 'snapshot');
      assert.deepEqual(snapshot.entries, [first]);
      await store.put(`${at}b`, '2');
      await store.put('/elsewhere', 'unseen');
      await store.put(`${at}a`, '3');
      await store.delete(`${at}b`);
      assert.deepEqual(await watch.changes(3), [`${at}b=2`, `${at}a=3`, `${at}b gone`]);
      await watch.end();
    });

    test('a watch from a revision tells of what has happened since', async () => {
      await using store = subject.open();
      const at = fresh();
      const { revision } = await store.put(`${at}a`, '1');
      await store.put(`${at}b`, '2');
      await store.delete(`${at}a`);
      const watch = reader(store, at, revision + 1n);
      assert.deepEqual(await watch.changes(2), [`${at}b=2`, `${at}a gone`]);
      await watch.end();
    });

    test('a watch from a revision whose history is gone begins anew', async () => {
      await using store = subject.open();
      const at = fresh();
      const { revision } = await store.put(`${at}a`, '1');
      const kept = await store.put(`${at}b`, '2');
      await store.delete(`${at}a`);
      await subject.compact(store);
      const watch = reader(store, at, revision);
      const event = await watch.next();
      assert.ok(event.type === 'snapshot');
      assert.deepEqual(event.entries, [kept]);
      await store.put(`${at}c`, '3');
      assert.deepEqual(await watch.changes(1), [`${at}c=3`]);
      await watch.end();
    });

    test('an entry with a time to live goes when nobody renews it', async () => {
      await using store = subject.open();
      const at = fresh();
      const kept = await store.put(`${at}kept`, 'x', { ttlSeconds: 2 });
      const lost = await store.put(`${at}lost`, 'x', { ttlSeconds: 2 });
      const watch = reader(store, at, lost.revision + 1n);
      const gone = watch.changes(1);
      const stop = new AbortController();
      const renewals = (async () => {
        while (!stop.signal.aborted) {
          assert.equal(await store.renew(kept), true);
          await delay(250);
        }
      })();
      assert.deepEqual(await gone, [`${at}lost gone`]);
      stop.abort();
      await renewals;
      assert.equal(await store.renew(lost), false);
      // A renewal is no change.
      assert.deepEqual(await store.get(kept.key), kept);
      await watch.end();
    });

    test('a time to live can be taken off and put on', async () => {
      await using store = subject.open();
      const key = `${fresh()}k`;
      const leased = await store.put(key, '1', { ttlSeconds: 60 });
      assert.notEqual(leased.leaseId, undefined);
      const fixed = await store.put(key, '1', { expected: leased.revision });
      assert.equal((await store.get(key))?.leaseId, undefined);
      assert.equal(await store.renew(fixed), true);
      const again = await store.put(key, '1', { expected: fixed.revision, ttlSeconds: 60 });
      assert.deepEqual(await store.get(key), again);
    });

    test('a call whose signal is aborted is rejected with its reason', async () => {
      await using store = subject.open();
      const reason = new Error('enough');
      const signal = AbortSignal.abort(reason);
      await assert.rejects(store.get('/a', { signal }), reason);
      await assert.rejects(store.put('/a', '1', { signal }), reason);
    });
  });
}

test('embedded: entries, revisions and leases outlive the process; what ran out meanwhile is gone', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'datastore-test-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = join(dir, 'a.db');
  let now = 1_000_000;
  const options = { now: () => now };
  const first = openEmbeddedDatastore(file, options);
  const fixed = await first.put('/a', '1');
  const long = await first.put('/b', '2', { ttlSeconds: 100 });
  await first.put('/c', '3', { ttlSeconds: 10 });
  await first[Symbol.asyncDispose]();
  await assert.rejects(first.get('/a'), { code: 'unavailable' });
  now += 11_000;
  await using second = openEmbeddedDatastore(file, options);
  assert.deepEqual((await second.list('/')).entries, [fixed, long]);
  const watch = reader(second, '/', long.revision + 1n);
  assert.deepEqual(await watch.changes(2), ['/c=3', '/c gone']);
  now += 90_000;
  assert.equal(await second.renew(long), false);
  assert.deepEqual((await second.list('/')).entries, [fixed]);
  await watch.end();
});

test('embedded: a file that is no database is named', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'datastore-test-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = join(dir, 'a.db');
  writeFileSync(file, 'not a database, but long enough to be looked at'.repeat(100));
  assert.throws(() => openEmbeddedDatastore(file), {
    code: 'datastore-error',
    message: /a\.db": .*database/,
  });
});

test('etcd: a watch goes on when the server is killed and comes back', async () => {
  await using server = await startEtcd();
  const [member] = server.members;
  await using store = openEtcdDatastore({ endpoints: server.endpoints });
  await store.put('/a', '1');
  const watch = reader(store, '/');
  assert.equal((await watch.next()).type, 'snapshot');
  const next = watch.changes(2);
  await member!.kill();
  await assert.rejects(store.put('/a', '2'), { code: 'unavailable' });
  await member!.start();
  await store.put('/a', '3');
  await store.put('/b', '4');
  assert.deepEqual(await next, ['/a=3', '/b=4']);
  await watch.end();
});

test('etcd: a watch begins anew when another cluster stands in the old one’s place', async () => {
  await using server = await startEtcd();
  const [member] = server.members;
  await using store = openEtcdDatastore({ endpoints: server.endpoints });
  for (const value of ['1', '2', '3']) await store.put('/a', value);
  const watch = reader(store, '/');
  assert.equal((await watch.next()).type, 'snapshot');
  const next = watch.next();
  await member!.kill();
  member!.wipe();
  await member!.start();
  const event = await next;
  assert.ok(event.type === 'snapshot');
  assert.deepEqual(event.entries, []);
  await watch.end();
});

test('etcd: one of three members is killed: calls and watches go on at the others', async () => {
  await using server = await startEtcd({ size: 3 });
  await using store = openEtcdDatastore({ endpoints: server.endpoints });
  await store.put('/a', '1');
  const watch = reader(store, '/');
  assert.equal((await watch.next()).type, 'snapshot');
  const next = watch.changes(1);
  await server.members[0]!.kill();
  // The one that was asked is away, and perhaps the leader with it: until there is one again changes are refused.
  for (;;) {
    try {
      await store.put('/b', '2');
      break;
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'unavailable');
    }
  }
  assert.deepEqual((await next)[0], '/b=2');
  assert.equal((await store.get('/a'))?.value, '1');
  await watch.end();
});

test('etcd: an endpoint that is no address is named', () => {
  assert.throws(() => openEtcdDatastore({ endpoints: ['http://a/b/c'] }), {
    code: 'invalid-config',
    message: /"http:\/\/a\/b\/c"/,
  });
});

test('etcd: over TLS with certificates on both sides; without ours the server does not talk', async () => {
  await using server = await startEtcd({ tls: true });
  const { ca, cert, key } = server.tlsFiles!;
  const authority = readFileSync(ca);
  const own = { ca: authority, cert: readFileSync(cert), key: readFileSync(key) };
  await using store = openEtcdDatastore({ endpoints: server.endpoints, tls: own });
  const entry = await store.put('/a', '1');
  assert.deepEqual(await store.get('/a'), entry);
  await using stranger = openEtcdDatastore({ endpoints: server.endpoints, tls: { ca: authority } });
  await assert.rejects(stranger.get('/a'), { code: 'unavailable' });
});

test('served: leases and watches outlive the server; another store in its place is noticed', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'datastore-test-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const address = `unix:${join(dir, 'store.sock')}`;
  const serve = async (file: string) => {
    const store = openEmbeddedDatastore(join(dir, file));
    return { store, server: await serveDatastore(store, { address }) };
  };
  const end = async ({ store, server }: Awaited<ReturnType<typeof serve>>) => {
    await server[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
  };
  let holder = await serve('a.db');
  await using store = openEtcdDatastore({ endpoints: [address] });
  const leased = await store.put('/a', '1', { ttlSeconds: 60 });
  const watch = reader(store, '/');
  assert.equal((await watch.next()).type, 'snapshot');
  await end(holder);
  holder = await serve('a.db');
  await until('it answers again', () =>
    store.renew(leased).catch((error: { code: string }) => {
      assert.equal(error.code, 'unavailable');
      return false;
    }),
  );
  await store.put('/b', '2');
  assert.deepEqual(await watch.changes(1), ['/b=2']);
  await end(holder);
  holder = await serve('b.db');
  const event = await watch.next();
  assert.ok(event.type === 'snapshot');
  assert.deepEqual(event.entries, []);
  await watch.end();
  await end(holder);
});

test('served: a lease that was given up, or never was, carries no entry', async (t) => {
  const store = openEmbeddedDatastore(':memory:');
  t.after(() => store[Symbol.asyncDispose]());
  const leaseId = store.grant(60);
  const entry = await store.putLeased('/a', '1', { leaseId });
  assert.equal(entry.leaseId, leaseId);
  // Written again by the same lease it stays.
  await store.putLeased('/a', '2', { leaseId });
  assert.equal(store.keepAlive(leaseId), 60);
  assert.equal(store.revoke(leaseId), true);
  assert.equal(await store.get('/a'), undefined);
  assert.equal(store.revoke(leaseId), false);
  assert.equal(store.keepAlive(leaseId), undefined);
  await assert.rejects(store.putLeased('/a', '3', { leaseId }), { code: 'datastore-error' });
});

test('served: addresses that other machines reach need certificates on both sides', async (t) => {
  await using etcd = await startEtcd({ tls: true });
  const { ca, cert, key } = etcd.tlsFiles!;
  const tls = { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) };
  const store = openEmbeddedDatastore(':memory:');
  t.after(() => store[Symbol.asyncDispose]());
  for (const address of ['0.0.0.0:0', '[::]:0', '192.0.2.1:0', 'example.org:0', '127.example.org:0']) {
    await assert.rejects(serveDatastore(store, { address }), {
      code: 'invalid-config',
      message: `serve datastore at ${JSON.stringify(address)}: other machines reach this address: it needs certificates on both sides`,
    });
  }
  await using open = await serveDatastore(store, { address: '0.0.0.0:0', isOpen: true });
  assert.match(open.endpoint, /^http:\/\/0\.0\.0\.0:\d+$/);
  await using server = await serveDatastore(store, { address: '127.0.0.1:0', tls });
  await using client = openEtcdDatastore({ endpoints: [server.endpoint], tls });
  const entry = await client.put('/a', '1');
  assert.deepEqual(await store.get('/a'), entry);
  await using stranger = openEtcdDatastore({ endpoints: [server.endpoint], tls: { ca: tls.ca } });
  await assert.rejects(stranger.get('/a'), { code: 'unavailable' });
});

test('served: what is not served is refused by name', async (t) => {
  const store = openEmbeddedDatastore(':memory:');
  t.after(() => store[Symbol.asyncDispose]());
  await using server = await serveDatastore(store, { address: '127.0.0.1:0' });
  await using client = openEtcdDatastore({ endpoints: [server.endpoint] });
  await assert.rejects(client.put('/a', '1', { ttlSeconds: 0 }), {
    code: 'datastore-error',
    message: /put "\/a": grant lease: .* refuses: grant lease: 0 seconds are no time to live/,
  });
});
