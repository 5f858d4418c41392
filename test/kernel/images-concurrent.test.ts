import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { buildImageLayout } from '@amphipod/images/testing';
import { answer } from './images-fake-registry.ts';
import { assertEmpty, isLayer, noise, randomLayers, setUp } from './images-faults-setup.ts';

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
  assert.equal(registry.requests.length, 4, 'manifest, config and two layers, once each');
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

test('IMG-17: two images that share layers, pulled ten times at once, cost each blob once', async (t) => {
  const { store, registry, layout, layers } = await setUp(t, {
    layers: randomLayers(3, 120_000),
    misbehave: ({ path }, response, blob) => {
      if (!isLayer(path, blob)) return false;
      setTimeout(() => answer(response, 200, blob!), 100);
      return true;
    },
  });
  const first = store.pull(`${registry.host}/t:one`);
  while (!registry.requests.some((request) => request.includes('/manifests/one')))
    await new Promise((resolve) => setTimeout(resolve, 1));
  buildImageLayout(layout, { layers: [...layers, [{ path: 'more', data: noise(120_000, 9) }]], name: 't' });
  const others = Array.from({ length: 9 }, (_, i) =>
    store.pull(`${registry.host}/t:${i % 2 === 0 ? 'two' : 'three'}`),
  );
  const images = await Promise.all([first, ...others]);
  assert.equal(new Set(images.map(({ id }) => id)).size, 2);
  const blobs = registry.requests.filter((request) => request.includes('/blobs/'));
  assert.equal(blobs.length, new Set(blobs).size, 'no blob twice');
  assert.equal(blobs.length, 6, 'two configs and four layers');
});

test('whoever shows other credentials must be let in by the registry on his own', async (t) => {
  const good = `Basic ${Buffer.from('u:good').toString('base64')}`;
  const { store, reference, id } = await setUp(t, {
    misbehave: ({ path, headers }, response, blob) => {
      if (headers.authorization !== good)
        return answer(response, 401, '', { 'WWW-Authenticate': 'Basic realm="r"' });
      if (!isLayer(path, blob)) return false;
      setTimeout(() => answer(response, 200, blob!), 100);
      return true;
    },
  });
  const [right, wrong] = await Promise.allSettled([
    store.pull(reference, { auth: { username: 'u', password: 'good' } }),
    store.pull(reference, { auth: { username: 'u', password: 'bad' } }),
  ]);
  assert.equal(right.status === 'fulfilled' && right.value.id, id);
  assert.equal(wrong.status === 'rejected' && wrong.reason.code, 'unauthorized');
});

test('a pull that fails has failed for all who wait for it, after one round of requests', async (t) => {
  const { store, reference, registry } = await setUp(t, {
    misbehave: (_request, response) => {
      setTimeout(() => answer(response, 404, '{"errors":[{"code":"MANIFEST_UNKNOWN"}]}'), 50);
      return true;
    },
  });
  const pulls = await Promise.allSettled(Array.from({ length: 10 }, () => store.pull(reference)));
  for (const pull of pulls) assert.equal(pull.status === 'rejected' && pull.reason.code, 'not-found');
  assert.equal(registry.requests.length, 1);
});

test('a registry that hangs holds up no other, and who waits behind it can be cancelled', async (t) => {
  const hanging = await setUp(t, {
    layers: randomLayers(5, 120_000),
    misbehave: ({ path }, _response, blob) => isLayer(path, blob),
    options: { progressTimeoutMs: 60_000 },
  });
  const good = await setUp(t);
  const { store } = hanging;
  const layerRequests = () =>
    hanging.registry.requests.filter((request) => request.includes('/blobs/')).length;
  const controller = new AbortController();
  const stuck = store.pull(hanging.reference, { signal: controller.signal });
  // The config and four layers: the fifth waits for its turn.
  while (layerRequests() < 5) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal((await store.pull(good.reference)).id, good.id);
  controller.abort(new Error('enough'));
  await assert.rejects(stuck, /enough/);
  assert.equal(layerRequests(), 5);
  await store.remove(good.id);
  assertEmpty(store);
});
