import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { buildImageLayout, type Entry } from '@amphipod/images/testing';
import { answer, challenge, cut, type Misbehaviour, startFakeRegistry } from './images-fake-registry.ts';
import { openStore, scratch } from './images-support.ts';

const retries = { attempts: 4, baseDelayMs: 10, maxDelayMs: 1_500 };

/** Layers whose blobs cannot be compressed, so that their size is known. */
function randomLayers(count: number, bytes: number): Entry[][] {
  return Array.from({ length: count }, (_, i) => [{ path: `f${i}`, data: noise(bytes, i) }]);
}

function noise(bytes: number, seed: number): Buffer {
  const data = Buffer.alloc(bytes);
  let state = seed * 7919 + 1;
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    data[i] = state >>> 24;
  }
  return data;
}

async function setUp(
  t: TestContext,
  { layers = randomLayers(2, 200_000), misbehave }: { layers?: Entry[][]; misbehave?: Misbehaviour } = {},
) {
  const layout = `${scratch(t)}/layout`;
  const built = buildImageLayout(layout, { layers, name: 't:latest' });
  const registry = await startFakeRegistry(t, layout, misbehave);
  const store = await openStore(t, { retries, progressTimeoutMs: 1_000 });
  return { ...built, registry, store, reference: `${registry.host}/t:latest`, layout, layers };
}

const isLayer = (path: string, blob: Buffer | undefined) =>
  path.includes('/blobs/') && (blob?.length ?? 0) > 100_000;

/** What a failed pull must leave: nothing. */
function assertEmpty(store: {
  root: string;
  list(): readonly unknown[];
  usage(): { usedBytes: bigint };
}): void {
  assert.deepEqual(store.list(), []);
  assert.equal(store.usage().usedBytes, 0n);
  for (const place of ['tmp', 'trash', 'layers', 'blobs/sha256'])
    assert.deepEqual(readdirSync(`${store.root}/${place}`), [], place);
}

test('IMG-18: a cut connection is resumed with Range', async (t) => {
  const { store, reference, registry, id } = await setUp(t, {
    misbehave: ({ path, earlier }, response, blob) =>
      isLayer(path, blob) && earlier === 0 && cut(response, blob!, 70_000),
  });
  assert.equal((await store.pull(reference)).id, id);
  assert.equal(
    registry.requests.filter((r) => r.includes('/blobs/')).length,
    5,
    'config once, each layer twice',
  );
});

for (const [name, onRange] of [
  ['ignores Range and sends all', (_: string) => ({ status: 200 as const, from: 0 })],
  ['refuses Range with 400', (_: string) => ({ status: 400 as const, from: 0 })],
  ['refuses Range with 416', (_: string) => ({ status: 416 as const, from: 0 })],
  [
    'answers another range than asked for',
    (range: string) => ({ status: 206 as const, from: Number(range) - 10 }),
  ],
] as const) {
  test(`IMG-18: a server that ${name} is asked for the whole blob again`, async (t) => {
    const { store, reference, id } = await setUp(t, {
      misbehave: ({ path, earlier, headers }, response, blob) => {
        if (!isLayer(path, blob)) return false;
        if (earlier === 0) return cut(response, blob!, 90_000);
        const asked = /^bytes=([0-9]+)-$/.exec(headers.range ?? '')?.[1];
        if (asked === undefined) return false;
        const { status, from } = onRange(asked);
        if (status === 400 || status === 416) return answer(response, status, 'no ranges');
        const range = `bytes ${from}-${blob!.length - 1}/${blob!.length}`;
        return answer(
          response,
          status,
          blob!.subarray(from),
          status === 206 ? { 'Content-Range': range } : {},
        );
      },
    });
    assert.equal((await store.pull(reference)).id, id);
  });
}

test('a blob that always breaks at the same place fails, says where, and leaves nothing', async (t) => {
  const { store, reference } = await setUp(t, {
    misbehave: ({ path }, response, blob) => isLayer(path, blob) && cut(response, blob!, 100),
  });
  await assert.rejects(store.pull(reference), {
    code: 'registry-unavailable',
    message: /get blob sha256:.* from 127\.0\.0\.1:[0-9]+: broken off at byte/,
  });
  assertEmpty(store);
});

test('a blob with other bytes, too many, or too few is refused', async (t) => {
  for (const spoil of [
    (blob: Buffer) => Buffer.from(blob).fill(0, 100, 200),
    (blob: Buffer) => Buffer.concat([blob, Buffer.from('more')]),
  ]) {
    const { store, reference } = await setUp(t, {
      misbehave: ({ path }, response, blob) => isLayer(path, blob) && answer(response, 200, spoil(blob!)),
    });
    await assert.rejects(store.pull(reference), { code: 'digest-mismatch', message: /get blob sha256:/ });
    assertEmpty(store);
  }
});

test('a manifest by digest with other bytes is refused', async (t) => {
  const { store, registry } = await setUp(t, {
    misbehave: ({ path }, response) =>
      path.includes('/manifests/') && answer(response, 200, '{"schemaVersion":2}'),
  });
  await assert.rejects(store.pull(`${registry.host}/t@sha256:${'0'.repeat(64)}`), {
    code: 'digest-mismatch',
  });
});

test("REG-02: a redirect to another host carries no credentials, and that host's own challenge is answered", async (t) => {
  const layout = `${scratch(t)}/layout`;
  const { id } = buildImageLayout(layout, { layers: randomLayers(3, 1000), name: 't' });
  const leaks: string[] = [];
  const storage = await startFakeRegistry(t, layout, ({ path, headers }, response) => {
    if (path.startsWith('/token')) return answer(response, 200, '{"token":"storage-token"}');
    if (headers.authorization === 'Bearer storage-token') return false;
    if (headers.authorization !== undefined) leaks.push(headers.authorization);
    return challenge(response, storage.host);
  });
  const front = await startFakeRegistry(t, layout, ({ path, headers }, response) => {
    if (headers.authorization !== `Basic ${Buffer.from('u:p').toString('base64')}`) {
      return answer(response, 401, '', { 'WWW-Authenticate': 'Basic realm="front"' });
    }
    return (
      path.includes('/blobs/') && answer(response, 307, '', { Location: `http://${storage.host}${path}` })
    );
  });
  const store = await openStore(t, { retries });
  assert.equal((await store.pull(`${front.host}/t`, { auth: { username: 'u', password: 'p' } })).id, id);
  assert.deepEqual(leaks, []);
  assert.ok(storage.requests.some((request) => request.startsWith('GET /token')));
});

test('REG-03: tokens that run out in the middle of a pull are renewed', async (t) => {
  const layout = `${scratch(t)}/layout`;
  const { id } = buildImageLayout(layout, { layers: randomLayers(12, 500), name: 't' });
  const left = new Map<string, number>();
  const registry = await startFakeRegistry(t, layout, ({ path, headers }, response) => {
    if (path.startsWith('/token')) {
      const token = `T${left.size}`;
      left.set(token, 3);
      return answer(response, 200, JSON.stringify({ access_token: token, expires_in: 60 }));
    }
    const token = headers.authorization?.replace('Bearer ', '') ?? '';
    const uses = left.get(token) ?? 0;
    if (uses === 0) return challenge(response, registry.host);
    left.set(token, uses - 1);
    return false;
  });
  const store = await openStore(t, { retries });
  assert.equal((await store.pull(`${registry.host}/t`)).id, id);
  assert.ok(left.size >= 5 && left.size <= 14, `${left.size} tokens for 14 requests of three uses each`);
});

test('a wrong password is tried twice at most, and the error names the host', async (t) => {
  for (const scheme of ['Bearer', 'Basic']) {
    const { store, reference, registry } = await setUp(t, {
      misbehave: ({ path }, response) => {
        if (path.startsWith('/token'))
          return answer(
            response,
            401,
            '{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}',
          );
        if (scheme === 'Bearer') return challenge(response, registry.host);
        return answer(response, 401, '', { 'WWW-Authenticate': 'Basic realm="r"' });
      },
    });
    await assert.rejects(store.pull(reference, { auth: { username: 'u', password: 'wrong' } }), {
      code: 'unauthorized',
      message: new RegExp(`${registry.host}.*401`),
    });
    assert.ok(registry.requests.length <= 3, registry.requests.join());
  }
});

test('identity tokens are exchanged, registry tokens sent as they are, credentials for another server kept back', async (t) => {
  const seen: string[] = [];
  const { store, reference, registry, id } = await setUp(t, {
    misbehave: ({ path, headers, body }, response) => {
      if (path.startsWith('/token')) {
        seen.push(body, String(headers.authorization));
        return answer(response, 200, '{"access_token":"good"}');
      }
      if (headers.authorization === 'Bearer good') return false;
      if (headers.authorization !== undefined) seen.push(headers.authorization);
      return challenge(response, registry.host);
    },
  });
  assert.equal((await store.pull(reference, { auth: { identityToken: 'idt' } })).id, id);
  assert.match(seen[0]!, /grant_type=refresh_token&refresh_token=idt/);
  await store.remove(id);
  seen.length = 0;
  await store.pull(reference, { auth: { registryToken: 'good' } });
  assert.deepEqual(seen, []);
  await store.remove(id);
  await store.pull(reference, {
    auth: { username: 'u', password: 'p', serverAddress: 'https://other.example' },
  });
  assert.deepEqual(seen, ['', 'undefined'], 'asked for a token as nobody');
  await store.remove(id);
  seen.length = 0;
  await store.pull(reference, {
    auth: { auth: Buffer.from('u:p').toString('base64'), serverAddress: registry.host },
  });
  assert.deepEqual(seen, ['', `Basic ${Buffer.from('u:p').toString('base64')}`]);
});

test('REG-06: 429 and 503 are waited out as the server asks; what stays away is an error with its words', async (t) => {
  const times: number[] = [];
  const first = await setUp(t, {
    misbehave: ({ path, earlier }, response) => {
      if (!path.includes('/manifests/')) return false;
      times.push(performance.now());
      return earlier === 0
        ? answer(response, 429, '', { 'Retry-After': '1' })
        : earlier === 1 && answer(response, 503);
    },
  });
  assert.equal((await first.store.pull(first.reference)).id, first.id);
  assert.ok(times[1]! - times[0]! >= 990, `waited ${times[1]! - times[0]!} ms`);
  const always = await setUp(t, {
    misbehave: (_request, response) =>
      answer(response, 429, '{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}', {
        'Retry-After': '3600',
      }),
  });
  const start = performance.now();
  await assert.rejects(always.store.pull(always.reference), {
    code: 'registry-unavailable',
    message: /get tag latest of t from 127.*429.*TOOMANYREQUESTS: slow down/,
  });
  assert.equal(always.registry.requests.length, retries.attempts);
  assert.ok(performance.now() - start < 10_000, 'an hour is too long');
});

test('a server that goes silent is left after the progress timeout, and asked again', async (t) => {
  const { store, reference, id } = await setUp(t, {
    misbehave: ({ path, earlier }, response, blob) => {
      if (!isLayer(path, blob) || earlier > 0) return false;
      response.writeHead(200, { 'Content-Length': String(blob!.length) });
      response.write(blob!.subarray(0, 5000));
      return true;
    },
  });
  const start = performance.now();
  assert.equal((await store.pull(reference)).id, id);
  assert.ok(performance.now() - start >= 950);
});

test('slow but steady downloads are not cut off', async (t) => {
  const { store, reference, id } = await setUp(t, {
    layers: randomLayers(1, 200_000),
    misbehave: ({ path }, response, blob) => {
      if (!isLayer(path, blob)) return false;
      response.writeHead(200, { 'Content-Length': String(blob!.length) });
      let at = 0;
      const timer = setInterval(() => {
        response.write(blob!.subarray(at, at + 25_000));
        at += 25_000;
        if (at >= blob!.length) {
          clearInterval(timer);
          response.end();
        }
      }, 300);
      return true;
    },
  });
  const start = performance.now();
  assert.equal((await store.pull(reference)).id, id);
  assert.ok(performance.now() - start > 2_000, 'twice the timeout');
});

test('IMG-17: ten pulls at once cost one download, also when the first is cancelled', async (t) => {
  const { store, reference, registry, id } = await setUp(t, {
    misbehave: ({ path }, response, blob) => {
      if (!isLayer(path, blob)) return false;
      setTimeout(() => answer(response, 200, blob!), 300);
      return true;
    },
  });
  const pulls = Array.from({ length: 10 }, () => store.pull(reference));
  assert.deepEqual(new Set((await Promise.all(pulls)).map((image) => image.id)), new Set([id]));
  assert.equal(registry.requests.filter((request) => request.includes('/blobs/')).length, 3);
  await store.remove(id);
  const first = new AbortController();
  const cancelled = store.pull(reference, { signal: first.signal });
  await new Promise((resolve) => setTimeout(resolve, 100));
  const second = store.pull(reference);
  await new Promise((resolve) => setTimeout(resolve, 50));
  first.abort(new Error('no longer wanted'));
  await assert.rejects(cancelled, /no longer wanted/);
  assert.equal((await second).id, id);
});

test('a pull can be cancelled at any moment, and leaves nothing', async (t) => {
  const { store, reference } = await setUp(t, { layers: randomLayers(4, 400_000) });
  await store.pull(reference);
  await store.remove(reference);
  for (let afterMs = 0; afterMs < 60; afterMs += 6) {
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error('enough')), afterMs);
    try {
      await store.pull(reference, { signal: controller.signal });
      await store.remove(reference);
    } catch (error) {
      assert.match(String(error), /enough/);
    }
    assertEmpty(store);
  }
});

test('removing an image while another that shares its layers is pulled breaks neither', async (t) => {
  const { store, reference, layers, layout, registry } = await setUp(t, {
    misbehave: ({ path, earlier }, response, blob) => {
      if (!isLayer(path, blob) || earlier === 0) return false;
      setTimeout(() => answer(response, 200, blob!), 50);
      return true;
    },
  });
  const first = await store.pull(reference);
  buildImageLayout(layout, { layers: [...layers, [{ path: 'more', data: noise(150_000, 9) }]], name: 't' });
  const pull = store.pull(`${registry.host}/t:second`);
  await new Promise((resolve) => setTimeout(resolve, 10));
  await store.remove(first.id);
  const second = await pull;
  const dirs = store.lowerDirs(second.id);
  assert.equal(dirs.length, 3);
  assert.ok(readFileSync(`${dirs[2]}/f0`).equals(noise(200_000, 0)));
  assert.equal(store.find(first.id), undefined);
});

test('REG-05: a missing tag on a plain-HTTP registry is a missing tag, with and without a hosts directory', async (t) => {
  const { registry } = await setUp(t, {
    misbehave: ({ path }, response) =>
      path.includes('/manifests/') && answer(response, 404, '{"errors":[{"code":"MANIFEST_UNKNOWN"}]}'),
  });
  const certsDir = scratch(t);
  for (const registries of [{}, { certsDir }]) {
    const store = await openStore(t, { retries, registries });
    await assert.rejects(store.pull(`${registry.host}/t:none`), {
      code: 'not-found',
      message: new RegExp(`get tag none of t.*not found at ${registry.host}`),
    });
  }
});

test("mirrors from hosts.toml are asked first, without the registry's credentials, and passed over when they fail", async (t) => {
  const { registry, id, layout } = await setUp(t);
  const auths: unknown[] = [];
  const mirror = await startFakeRegistry(t, layout, ({ headers, path }, response, blob) => {
    auths.push(headers.authorization);
    return isLayer(path, blob) && answer(response, 404);
  });
  const certsDir = scratch(t);
  mkdirSync(`${certsDir}/images.example`);
  writeFileSync(
    `${certsDir}/images.example/hosts.toml`,
    `server = "http://${registry.host}"\n[host."http://${mirror.host}"]\ncapabilities = ["pull", "resolve"]\n[host."http://127.0.0.1:1"]\n`,
  );
  const store = await openStore(t, { retries, registries: { certsDir } });
  const image = await store.pull('images.example/t:1', { auth: { username: 'u', password: 'p' } });
  assert.equal(image.id, id);
  assert.deepEqual(image.repoTags, ['images.example/t:1']);
  assert.deepEqual(
    registry.requests.filter((request) => request.includes('manifests')),
    [],
  );
  assert.equal(registry.requests.length, 2, 'the two layers');
  assert.deepEqual(new Set(auths), new Set([undefined]));
});

test('progress tells of every layer: waiting, downloading, unpacking, done; exists the second time', async (t) => {
  const { store, reference, layers } = await setUp(t);
  const states = new Map<string, Set<string>>();
  await store.pull(reference, {
    onProgress: ({ digest, state, doneBytes, totalBytes }) => {
      assert.ok(doneBytes <= totalBytes);
      states.set(digest, (states.get(digest) ?? new Set()).add(state));
    },
  });
  assert.equal(states.size, layers.length);
  for (const seen of states.values()) {
    for (const state of ['waiting', 'downloading', 'done']) assert.ok(seen.has(state), [...seen].join());
  }
  const again: string[] = [];
  await store.pull(reference, { onProgress: ({ state }) => again.push(state) });
  assert.deepEqual(again, ['exists', 'exists']);
});

test('answers that are no HTTP, no JSON or endless end in an error that names the host', async (t) => {
  const raw = createServer((socket) => socket.end('SSH-2.0-nothing\r\n'));
  await new Promise<void>((resolve) => raw.listen(0, '127.0.0.1', resolve));
  t.after(() => raw.close());
  const store = await openStore(t, { retries });
  const port = (raw.address() as AddressInfo).port;
  await assert.rejects(store.pull(`127.0.0.1:${port}/t`), {
    code: 'registry-unavailable',
    message: new RegExp(`127\\.0\\.0\\.1:${port}`),
  });
  const html = await setUp(t, {
    misbehave: (_request, response) => answer(response, 200, '<html>', { 'Content-Type': 'text/html' }),
  });
  await assert.rejects(html.store.pull(html.reference), { code: 'invalid-manifest' });
  const endless = await setUp(t, {
    misbehave: (_request, response) => {
      const timer = setInterval(() => response.write(Buffer.alloc(1_000_000)), 1);
      response.on('close', () => clearInterval(timer));
      return true;
    },
  });
  await assert.rejects(endless.store.pull(endless.reference), {
    code: 'registry-error',
    message: /more than/,
  });
  const loop = await setUp(t, {
    misbehave: ({ path }, response) => answer(response, 302, '', { Location: path }),
  });
  await assert.rejects(loop.store.pull(loop.reference), { code: 'registry-error', message: /redirects/ });
});
