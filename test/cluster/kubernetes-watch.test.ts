// How a watch over the nodes of a Kubernetes cluster fares when the API server fails. The server is a fake (fake-kube-api.ts).
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { suite, test } from 'node:test';
import { KubernetesClient, type LeaseStore, openNodeLeases } from '@amphipod/fabric';
import { FakeKubeApi, type FakeKubeOptions } from './fake-kube-api.ts';
import { until } from './nodes.ts';

const flannel = 'flannel.alpha.coreos.com';

function putNode(api: FakeKubeApi, number: number, publicIp = `192.0.2.${number}`): void {
  api.putNode(`node-${number}`, ({ metadata: { annotations }, spec }) => {
    spec.podCIDR = `10.9.${number}.0/24`;
    annotations[`${flannel}/kube-subnet-manager`] = 'true';
    annotations[`${flannel}/backend-type`] = 'host-gw';
    annotations[`${flannel}/backend-data`] = 'null';
    annotations[`${flannel}/public-ip`] = publicIp;
  });
}

interface Watched extends AsyncDisposable {
  api: FakeKubeApi;
  leases: LeaseStore;
  /** Node to public address, as the watch tells. */
  table: Map<string, string>;
  /** What kind of events the watch told. */
  kinds: string[];
  /** What the watch told of its connection. */
  failures: string[];
  /** What the client shows from now on. */
  credentials: { token?: string };
}

/** A cluster of one node, `node-1`, and a watch that has told of it. */
async function watched(options: FakeKubeOptions = {}): Promise<Watched> {
  const api = await new FakeKubeApi(options).start();
  putNode(api, 1);
  const credentials = options.token === undefined ? {} : { token: options.token };
  const client = new KubernetesClient({
    server: new URL(api.url),
    skipTlsVerify: false,
    credentials: () => credentials,
  });
  const failures: string[] = [];
  const onConnection = (error: unknown) => {
    if (error === undefined) failures.push('stands again');
    else failures.push((error as Error).message);
  };
  const leases = openNodeLeases({ client, node: 'node-1' });
  const [table, kinds] = [new Map<string, string>(), [] as string[]];
  const stop = new AbortController();
  const watching = (async () => {
    for await (const event of leases.watch({ signal: stop.signal, onConnection })) {
      kinds.push(event.type);
      if (event.type === 'snapshot') table.clear();
      const changes =
        event.type === 'changes'
          ? event.changes
          : [...event.leases].map(([id, lease]) => ({ type: 'put', id, lease }) as const);
      for (const change of changes) {
        if (change.type === 'delete') table.delete(change.id);
        else table.set(change.id, String(change.lease.attributes.publicIp?.value));
      }
    }
  })();
  await until('the watch stands', () => table.size === 1 && api.watchCount === 1);
  return {
    api,
    leases,
    table,
    kinds,
    failures,
    credentials,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await watching;
      client[Symbol.dispose]();
      await api.stop();
    },
  };
}

/** Has a node come, and waits until the watch tells of it. */
async function untilTold({ api, table }: Watched, number: number): Promise<void> {
  putNode(api, number);
  await until(`node-${number} is told of`, () => table.has(`node-${number}`));
}

suite('a watch goes on', () => {
  test('when its connection is cut in the middle of a line; what happens meanwhile is told once', async () => {
    await using watch = await watched();
    watch.api.cutWatches();
    putNode(watch.api, 2);
    watch.api.deleteNode('node-1');
    await until('both are told of', () => watch.table.has('node-2') && !watch.table.has('node-1'));
    assert.deepEqual(watch.kinds, ['snapshot', 'changes', 'changes']);
    assert.match(watch.failures[0]!, /^watch "\/api\/v1\/nodes": the connection broke/);
    assert.equal(watch.failures[1], 'stands again');
  });

  test('when the server ends it, as each does after some minutes', async () => {
    await using watch = await watched();
    for (const number of [2, 3]) {
      watch.api.endWatches();
      await untilTold(watch, number);
    }
    assert.deepEqual(watch.kinds, ['snapshot', 'changes', 'changes']);
    assert.deepEqual(watch.failures, []);
  });

  test('when the server is killed and comes back', async () => {
    await using watch = await watched();
    await watch.api.stop();
    putNode(watch.api, 2);
    await until('it is noticed', () => watch.failures.length > 0);
    await watch.api.start();
    await until('node-2 is told of', () => watch.table.has('node-2'));
    assert.deepEqual(watch.kinds, ['snapshot', 'changes']);
  });

  test('from the last bookmark, so that a compaction of what is before it does no harm', async () => {
    await using watch = await watched();
    // Something else than nodes has changed: only a bookmark tells how far that is.
    watch.api.rewind(5000);
    watch.api.sendBookmarks();
    await until('the watch is opened anew from there', () => {
      if (watch.api.watchCount > 0) watch.api.endWatches();
      return watch.api.requests.at(-1)!.includes('resourceVersion=5000');
    });
    await untilTold(watch, 2);
    assert.deepEqual(watch.kinds, ['snapshot', 'changes']);
  });

  test('after refusals: too many requests, an error of the server, no rights for a while', async () => {
    await using watch = await watched();
    const answers = [
      [429, 'TooManyRequests'],
      [500, 'InternalError'],
      [403, 'Forbidden'],
    ] as const;
    for (const [status, reason] of answers) watch.api.refuse('GET /api/v1/nodes?watch', status, { reason });
    watch.api.endWatches();
    await untilTold(watch, 2);
    assert.match(watch.failures[0]!, /says 429: refused: TooManyRequests$/);
    assert.deepEqual(watch.failures.slice(1), ['stands again']);
    // The first, three that were refused, and the one that stands.
    assert.equal(watch.api.requests.filter((line) => line.includes('watch=true')).length, 5);
    assert.deepEqual(watch.kinds, ['snapshot', 'changes']);
  });

  test('with the token of the moment, which is replaced while it runs', async () => {
    await using watch = await watched({ token: 'first' });
    watch.api.token = 'second';
    watch.api.cutWatches();
    const { length } = watch.api.requests;
    await until('the old token is refused a few times', () => watch.api.requests.length > length + 2);
    watch.credentials.token = 'second';
    await untilTold(watch, 2);
    assert.deepEqual(watch.kinds, ['snapshot', 'changes']);
  });

  test('when what it is told comes in pieces', async () => {
    await using watch = await watched();
    watch.api.pieceDelayMs = 20;
    await untilTold(watch, 2);
    watch.api.endWatches();
    await untilTold(watch, 3);
    assert.deepEqual(watch.failures, []);
  });

  test('when packets from the server get lost without a word', async () => {
    await using watch = await watched();
    const port = new URL(watch.api.url).port;
    const nft = (...lines: string[]) => execFileSync('nft', ['-f', '-'], { input: lines.join('\n') });
    nft(
      'add table inet silence',
      'add chain inet silence in { type filter hook input priority 0; }',
      `add rule inet silence in tcp sport ${port} drop`,
    );
    putNode(watch.api, 2);
    await until('the loss is noticed', () => watch.failures.length > 0, 800);
    nft('delete table inet silence');
    await until('node-2 is told of', () => watch.table.has('node-2'), 800);
    assert.deepEqual(watch.kinds, ['snapshot', 'changes']);
  });
});

suite('a watch begins anew', () => {
  for (const goneAs of ['line', 'status'] as const) {
    test(`when the changes since are forgotten (410 Gone as a ${goneAs})`, async () => {
      await using watch = await watched({ goneAs });
      putNode(watch.api, 2);
      await until('node-2 is told of', () => watch.table.has('node-2'));
      await watch.api.stop();
      watch.api.deleteNode('node-1');
      putNode(watch.api, 3);
      watch.api.compact();
      await watch.api.start();
      await until('what is there by now is told', () => watch.table.has('node-3'));
      assert.deepEqual([...watch.table.keys()], ['node-2', 'node-3']);
      assert.deepEqual(watch.kinds, ['snapshot', 'changes', 'snapshot']);
    });
  }

  test('when the data of the server was put back from a copy', async () => {
    await using watch = await watched();
    putNode(watch.api, 2);
    await until('node-2 is told of', () => watch.table.has('node-2'));
    await watch.api.stop();
    watch.api.deleteNode('node-2');
    watch.api.rewind(500);
    await watch.api.start();
    await until('what is there by now is told', () => !watch.table.has('node-2'));
    await untilTold(watch, 3);
    assert.deepEqual(watch.kinds, ['snapshot', 'changes', 'snapshot', 'changes']);
  });
});

test('changes of a node that do not concern its lease are not told', async () => {
  await using watch = await watched();
  watch.api.putNode('stranger', ({ spec }) => {
    spec.podCIDR = '10.9.77.0/24';
  });
  for (let beat = 0; beat < 5; beat++) {
    for (const name of ['node-1', 'stranger']) {
      watch.api.putNode(name, ({ status }) => {
        status.conditions = [{ type: 'Ready', status: 'True', lastHeartbeatTime: `${beat}` }];
      });
    }
  }
  await untilTold(watch, 2);
  // The stranger has no lease, which is told once.
  assert.deepEqual(watch.kinds, ['snapshot', 'changes', 'changes']);
});

test('lists come in pages; all in one when the server forgets where a list was', async () => {
  await using watch = await watched();
  for (let number = 2; number <= 1203; number++) {
    watch.api.putNode(`node-${number}`, ({ metadata: { annotations }, spec }) => {
      spec.podCIDR = `10.${100 + (number >> 8)}.${number & 255}.0/24`;
      annotations[`${flannel}/kube-subnet-manager`] = 'true';
      annotations[`${flannel}/public-ip`] = '192.0.2.1';
    });
  }
  const lists = () =>
    watch.api.requests.filter((line) => !line.includes('watch=')).map((line) => line.split('?')[1]);
  watch.api.requests.length = 0;
  assert.equal((await watch.leases.list()).leases.size, 1203);
  assert.deepEqual(
    lists().map((query) => query?.replace(/page-.*/, 'PAGE')),
    ['limit=500', 'limit=500&continue=PAGE', 'limit=500&continue=PAGE'],
  );
  watch.api.requests.length = 0;
  watch.api.refuse('GET /api/v1/nodes?limit=500&continue', 410, { reason: 'Expired' });
  assert.equal((await watch.leases.list()).leases.size, 1203);
  assert.equal(lists().length, 3);
  assert.equal(lists().at(-1), undefined);
});
