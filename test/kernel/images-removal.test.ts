import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { buildImageLayout, type Entry } from '@amphipod/images/testing';
import { type FakeRegistry, startFakeRegistry } from './images-fake-registry.ts';
import { listTree, openStore, scratch } from './images-support.ts';

const shared: Entry[] = [{ path: 'shared', data: Buffer.alloc(2_000_000, 's') }];
const own = (name: string): Entry[] => [{ path: name, data: Buffer.alloc(500_000, name) }];

test('removing an image while another one with the same layers is pulled breaks neither', async (t) => {
  const dir = scratch(t);
  const store = await openStore(t);
  buildImageLayout(`${dir}/a`, { layers: [shared, own('a')] });
  buildImageLayout(`${dir}/b`, { layers: [shared, own('b')] });
  const a = await startFakeRegistry(t, `${dir}/a`);
  const [asked, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let blobs = 0;
  const b = await startFakeRegistry(t, `${dir}/b`, ({ path }, response, blob) => {
    if (path.includes('/blobs/')) blobs += 1;
    if (blobs < 2) return false;
    // The last blob, which is the layer that is not shared, comes when the other image is gone.
    asked.resolve();
    void released.promise.then(() =>
      response.writeHead(200, { 'Content-Length': String(blob!.length) }).end(blob),
    );
    return true;
  });
  const imageA = await store.pull(`${a.host}/t:1`);
  const layers = readdirSync(`${store.root}/layers`);
  const pulling = store.pull(`${b.host}/t:1`);
  await asked.promise;
  await store.remove(imageA.id);
  assert.equal(store.find(imageA.id), undefined);
  released.resolve();
  const imageB = await pulling;
  assert.equal(
    b.requests.filter((request) => request.includes('/blobs/')).length,
    2,
    'the shared layer is not fetched again',
  );
  const top = store.lowerDirs(imageB.id);
  assert.deepEqual(listTree(top[1]!, '%P %s'), ['shared 2000000']);
  // Which of the two came first is chance.
  assert.ok(
    layers.some((name) => top[1]!.includes(`/layers/${name}/`)),
    'the same layer, in its place',
  );
  assert.deepEqual((await store.verify()).damages, []);
  // The other one can come back, and then that one may go.
  const again = await store.pull(`${a.host}/t:1`);
  await store.remove(imageB.id);
  assert.deepEqual(listTree(store.lowerDirs(again.id)[1]!, '%P %s'), ['shared 2000000']);
  assert.deepEqual((await store.verify()).damages, []);
});

test('a pull that is given up leaves what another one shares with it', async (t) => {
  const dir = scratch(t);
  const store = await openStore(t);
  buildImageLayout(`${dir}/a`, { layers: [shared, own('a')] });
  const asked = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const registry = await startFakeRegistry(t, `${dir}/a`, ({ path }, response, blob) => {
    if (!path.includes('/blobs/') || blob!.length < 1000) return false;
    asked.resolve();
    void released.promise.then(() =>
      response.writeHead(200, { 'Content-Length': String(blob!.length) }).end(blob),
    );
    return true;
  });
  const controller = new AbortController();
  const first = store.pull(`${registry.host}/t:1`, { signal: controller.signal });
  await asked.promise;
  const second = store.pull(`${registry.host}/t:2`);
  controller.abort();
  await assert.rejects(first);
  await store.remove(`${registry.host}/t:1`);
  released.resolve();
  const image = await second;
  assert.deepEqual(image.repoTags, [`${registry.host}/t:2`]);
  assert.deepEqual((await store.verify()).damages, []);
});

test('pulls and removals of images with the same layers, all at once: every pull gives a whole image', async (t) => {
  const dir = scratch(t);
  const store = await openStore(t);
  const registries: FakeRegistry[] = [];
  for (const name of ['a', 'b', 'c', 'd']) {
    buildImageLayout(`${dir}/${name}`, { layers: [shared, own(name), [{ path: 'top', data: name }]] });
    registries.push(await startFakeRegistry(t, `${dir}/${name}`));
  }
  const work = registries.map(async ({ host }, i) => {
    for (let round = 0; round < 15; round++) {
      const image = await store.pull(`${host}/t:1`);
      store.acquire(image.id, `owner-${i}`);
      const dirs = store.lowerDirs(image.id);
      await store.remove(`${host}/t:1`);
      // Held: there with all its files, whatever the others remove meanwhile.
      assert.deepEqual(
        dirs.flatMap((layer) => listTree(layer, '%s')),
        ['1', '500000', '2000000'],
      );
      store.release(`owner-${i}`);
    }
  });
  await Promise.all(work);
  assert.deepEqual(store.list(), []);
  assert.deepEqual(store.usage(), { usedBytes: 0n, inodesUsed: 0n });
  await store.close();
  for (const place of ['layers', 'blobs/sha256', 'tmp', 'trash'])
    assert.deepEqual(readdirSync(`${store.root}/${place}`), [], place);
});
