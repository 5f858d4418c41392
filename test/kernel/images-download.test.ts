import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answer, cut } from './images-fake-registry.ts';
import { assertEmpty, isLayer, randomLayers, setUp } from './images-faults-setup.ts';

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

test('a blob with other bytes or too many is refused', async (t) => {
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

test('a server that sends a part unasked, again and again, is refused', async (t) => {
  const { store, reference, registry } = await setUp(t, {
    misbehave: ({ path }, response, blob) =>
      isLayer(path, blob) &&
      answer(response, 206, blob!.subarray(10), {
        'Content-Range': `bytes 10-${blob!.length - 1}/${blob!.length}`,
      }),
  });
  await assert.rejects(store.pull(reference), {
    code: 'registry-error',
    message: new RegExp(`get blob sha256:[0-9a-f]+ from ${registry.host}: 206 Partial Content`),
  });
  assertEmpty(store);
});

test('a resumed blob whose parts do not fit together is fetched whole once more', async (t) => {
  const { store, reference, registry, id } = await setUp(t, {
    layers: randomLayers(1, 200_000),
    misbehave: ({ path, earlier }, response, blob) =>
      isLayer(path, blob) && earlier === 0 && cut(response, Buffer.from(blob!).fill(7, 0, 50), 90_000),
  });
  assert.equal((await store.pull(reference)).id, id);
  assert.equal(
    registry.requests.filter((request) => request.includes('/blobs/')).length,
    4,
    'config, 3 of the layer',
  );
});

test('a connection that breaks behind the last byte has done its work', async (t) => {
  const { store, reference, registry, id } = await setUp(t, {
    layers: randomLayers(1, 200_000),
    misbehave: ({ path }, response, blob) => {
      if (!isLayer(path, blob)) return false;
      // Chunked, and without the last chunk.
      response.write(blob!, () => setTimeout(() => response.destroy(), 20));
      return true;
    },
  });
  assert.equal((await store.pull(reference)).id, id);
  assert.equal(registry.requests.filter((request) => request.includes('/blobs/')).length, 2);
});

test('a manifest that breaks off is asked for again', async (t) => {
  const { store, reference, id } = await setUp(t, {
    misbehave: ({ path, earlier }, response, blob) =>
      path.includes('/manifests/') && earlier === 0 && cut(response, blob!, 100),
  });
  assert.equal((await store.pull(reference)).id, id);
});
