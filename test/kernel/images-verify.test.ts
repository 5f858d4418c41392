import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { test } from 'node:test';
import { buildImageLayout, type Entry } from '@amphipod/images/testing';
import { startFakeRegistry } from './images-fake-registry.ts';
import { listTree, loadBuilt, mountImage, openStore, scratch } from './images-support.ts';

const layers: Entry[][] = [
  [
    { path: 'bin/tool', data: Buffer.alloc(700_001, 't'), mode: 0o4755, mtime: 7 },
    { path: 'bin/other', type: 'hardlink', linkPath: 'bin/tool' },
    { path: 'cap', data: 'c', xattrs: { 'user.a': 'b' } },
    { path: 'gone', data: '1' },
    { path: 'dir/old', data: '1' },
  ],
  [
    { path: '.wh.gone' },
    { path: 'dir/.wh..wh..opq' },
    { path: 'dir/new', data: 'x' },
    { path: 'l', type: 'symlink', linkPath: 'cap' },
  ],
];

test('a whole store verifies', async (t) => {
  const dir = scratch(t);
  const store = await openStore(t);
  await loadBuilt(store, dir, { layers, name: 'localhost/a:1' });
  await loadBuilt(store, dir, { layers: [layers[0]!], name: 'localhost/b:1', compression: 'zstd' });
  const before = store.usage();
  const progress: string[] = [];
  const report = await store.verify({
    onProgress: ({ kind, done, total }) => progress.push(`${kind} ${done}/${total}`),
  });
  // Two manifests, two configs, and the two layers of the first; the second's layer was there already.
  assert.deepEqual(report, { checkedBlobs: 6, checkedLayers: 2, damages: [] });
  assert.deepEqual(progress.slice(-2), ['layer 0/2', 'layer 1/2']);
  assert.deepEqual(store.usage(), before);
  assert.deepEqual(await store.verify({ blobsOnly: true, references: ['localhost/b:1'] }), {
    checkedBlobs: 3,
    checkedLayers: 0,
    damages: [],
  });
  await assert.rejects(store.verify({ references: ['localhost/absent:1'] }), { code: 'not-found' });
});

const spoilers: [string, (layer: string) => void, RegExp][] = [
  [
    'wrong content',
    (layer) => writeInPlace(`${layer}/bin/tool`),
    /bin\/(tool|other): (content differs|modification time)/,
  ],
  ['a file missing', (layer) => rmSync(`${layer}/cap`), /cap: is missing/],
  ['a file too many', (layer) => writeFileSync(`${layer}/extra`, ''), /extra: is there, and should not be/],
  ['nothing left of it', (layer) => rmSync(layer, { recursive: true }), /^\/: is missing$/],
  ['a wrong mode', (layer) => chmodSync(`${layer}/cap`, 0o600), /cap: mode is 100600, should be 100644/],
  ['a wrong time', (layer) => utimesSync(`${layer}/cap`, 1, 1), /cap: modification time differs/],
  [
    'a hard link',
    (layer) => {
      const bytes = readFileSync(`${layer}/bin/tool`);
      rmSync(`${layer}/bin/other`);
      writeFileSync(`${layer}/bin/other`, bytes);
      chmodSync(`${layer}/bin/other`, 0o4755);
      utimesSync(`${layer}/bin/other`, 7, 7);
    },
    /bin\/(tool|other): is not linked as it should be/,
  ],
];

/** Changes bytes and nothing else that a look at the directory would show. */
function writeInPlace(path: string): void {
  writeFileSync(path, 'X', { flag: 'r+' });
  utimesSync(path, 7, 7);
}

for (const [what, spoil, problem] of spoilers) {
  test(`a layer with ${what} is found, and unpacked again`, async (t) => {
    const store = await openStore(t);
    const image = await loadBuilt(store, scratch(t), { layers, name: 'localhost/a:1' });
    const whole = listTree(mountImage(t, store, image.id), '%P %y %m %s %n %l');
    spoil(store.lowerDirs(image.id).at(-1)!);
    const found = await store.verify();
    assert.equal(found.damages.length, 1);
    assert.match(found.damages[0]!.problem, problem);
    assert.deepEqual([found.damages[0]!.kind, found.damages[0]!.isRepaired], ['layer', false]);
    store.acquire(image.id, 'container');
    const held = await store.verify({ repair: true });
    assert.match(held.damages[0]!.repairError!, /containers use it/);
    store.release('container');
    assert.equal((await store.verify({ repair: true })).damages[0]!.isRepaired, true);
    assert.deepEqual((await store.verify()).damages, []);
    assert.deepEqual(listTree(mountImage(t, store, image.id), '%P %y %m %s %n %l'), whole);
    await store.close();
    const again = await openStore(t, { root: store.root });
    assert.deepEqual((await again.verify()).damages, []);
  });
}

test('a damaged or missing blob comes anew from the registry, by repair and by the next pull', async (t) => {
  const dir = scratch(t);
  buildImageLayout(`${dir}/layout`, { layers });
  const registry = await startFakeRegistry(t, `${dir}/layout`);
  const store = await openStore(t);
  const image = await store.pull(`${registry.host}/t:1`);
  const blobs = store.describe(image.id).layers.map(({ digest }) => digest);
  const pathOf = (digest: string) => `${store.root}/blobs/${digest.replace(':', '/')}`;
  const usage = store.usage();
  const spoil = () => {
    appendFileSync(pathOf(blobs[0]!), 'x');
    rmSync(pathOf(image.id));
  };
  spoil();
  const found = await store.verify({ repair: true });
  assert.deepEqual(
    found.damages.map(({ digest, isRepaired }) => `${digest} ${isRepaired}`).sort(),
    [`${blobs[0]} true`, `${image.id} true`].sort(),
  );
  assert.match(found.damages.find(({ digest }) => digest === image.id)!.problem, /missing/);
  assert.deepEqual((await store.verify()).damages, []);
  spoil();
  assert.equal((await store.verify()).damages.filter(({ kind }) => kind === 'blob').length, 2);
  await store.pull(`${registry.host}/t:1`);
  assert.deepEqual((await store.verify()).damages, []);
  assert.deepEqual(store.usage(), usage);
});

test('what came from an archive says so, and is whole again once it is loaded again', async (t) => {
  const dir = scratch(t);
  buildImageLayout(`${dir}/layout`, { layers });
  const store = await openStore(t);
  const [image] = await store.load({ kind: 'oci-layout', path: `${dir}/layout` });
  const { digest } = store.describe(image!.id).layers[1]!;
  const path = `${store.root}/blobs/${digest.replace(':', '/')}`;
  writeFileSync(path, 'nothing like it');
  const { damages } = await store.verify({ repair: true });
  assert.match(damages.find(({ kind }) => kind === 'blob')!.repairError!, /have no name: load them again/);
  // The tree may be right, but nothing here can tell.
  assert.match(damages.find(({ kind }) => kind === 'layer')!.problem, /cannot be compared/);
  await store.load({ kind: 'oci-layout', path: `${dir}/layout` });
  assert.deepEqual((await store.verify()).damages, []);
  await store.remove(image!.id);
  assert.ok(!existsSync(path));
  assert.deepEqual(store.usage(), { usedBytes: 0n, inodesUsed: 0n });
});
