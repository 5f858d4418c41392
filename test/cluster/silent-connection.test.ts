// A connection to etcd over which nothing comes any more, as when this node's address changes.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { openEtcdDatastore } from '@amphipod/fabric';
import { startEtcd } from './etcd-server.ts';

interface Forwarder extends AsyncDisposable {
  endpoint: string;
  /** Connections of before stay open and carry nothing; new ones work. */
  silence(): void;
}

async function startForwarder(target: string): Promise<Forwarder> {
  const { hostname, port } = new URL(target);
  const sockets: Socket[] = [];
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    for (const socket of [client, upstream]) socket.on('error', () => {});
    client.pipe(upstream).pipe(client);
    sockets.push(client, upstream);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    silence() {
      for (const socket of sockets) socket.unpipe().pause();
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

test('etcd: after one call without an answer the next one has a connection of its own', async () => {
  await using server = await startEtcd();
  await using forwarder = await startForwarder(server.endpoints[0]!);
  await using store = openEtcdDatastore({ endpoints: [forwarder.endpoint], timeoutMs: 1_000 });
  const stop = new AbortController();
  const events = store.watch('/', { signal: stop.signal })[Symbol.asyncIterator]();
  const { value } = await events.next();
  assert.equal(value?.type, 'snapshot');
  forwarder.silence();
  await assert.rejects(store.put('/a', '1'), { code: 'unavailable' });
  const made = await store.put('/a', '2');
  assert.deepEqual(await store.get('/a'), made);
  // The watch goes on over the new one, too.
  const next = await events.next();
  assert.ok(!next.done && next.value.type === 'changes');
  assert.deepEqual(next.value.changes, [{ type: 'put', entry: made }]);
  stop.abort();
  assert.equal((await events.next()).done, true);
});
