import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs';
import { test } from 'node:test';
import { openImageStore } from '@amphipod/images';
import { buildImageLayout, type Entry } from '@amphipod/images/testing';
import { listTree, loadBuilt, mountImage, openStore, scratch } from './images-support.ts';

test('layers show as one tree: deletions, opaque directories, replaced kinds (IMG-01, IMG-09)', async (t) => {
  const store = await openStore(t);
  const bottom: Entry[] = [
    { path: 'gone', data: '1' },
    { path: 'dir/keep', data: '1' },
    { path: 'dir/old', data: '1' },
    { path: 'opaque/old', data: '1' },
    { path: 'reborn/old', data: '1' },
    { path: 'a', type: 'directory' },
    { path: 'a/a', data: '1' },
    { path: 'lnk', type: 'symlink', linkPath: 'one' },
  ];
  const rest: Entry[] = [
    { path: '.wh.gone' },
    { path: 'dir/.wh.old' },
    { path: 'opaque/.wh..wh..opq' },
    { path: 'opaque/new', data: '2' },
    { path: '.wh.reborn' },
    { path: 'reborn/new', data: '2' },
    { path: 'lnk', type: 'symlink', linkPath: 'two' },
    { path: 'gone2/.wh.x' },
  ];
  const orders: Entry[][] = [
    [
      { path: 'a/.wh.a' },
      { path: '/', type: 'directory' },
      { path: 'a', type: 'symlink', linkPath: 'b' },
      { path: 'b', type: 'directory' },
    ],
    [
      { path: '/', type: 'directory' },
      { path: 'b', type: 'directory' },
      { path: 'a', type: 'symlink', linkPath: 'b' },
      { path: 'a/.wh.a' },
    ],
  ];
  for (const order of orders) {
    const image = await loadBuilt(store, scratch(t), {
      layers: [bottom, [...order, ...rest]],
      name: 'x/y:1',
    });
    const root = mountImage(t, store, image.id);
    assert.deepEqual(listTree(root, '%P %y %l'), [
      'a l b',
      'b d ',
      'dir d ',
      'dir/keep f ',
      'lnk l two',
      'opaque d ',
      'opaque/new f ',
      'reborn d ',
      'reborn/new f ',
    ]);
  }
});

test('a directory that a layer only implies keeps what the layers below gave it', async (t) => {
  const store = await openStore(t);
  const image = await loadBuilt(store, scratch(t), {
    layers: [
      [
        { path: '/', type: 'directory', mode: 0o711, uid: 1 },
        { path: 'tmp', type: 'directory', mode: 0o1777, mtime: 5 },
        { path: 'home/app', type: 'directory', mode: 0o700, uid: 10, gid: 20 },
        { path: 'l', type: 'symlink', linkPath: 'tmp' },
      ],
      [{ path: 'usr/x', data: '' }],
      [
        { path: 'tmp/file', data: '1' },
        { path: 'home/app/f', data: '1' },
        { path: 'l/f', data: '1' },
      ],
    ],
  });
  const root = mountImage(t, store, image.id);
  assert.deepEqual(
    listTree(root, '%P %y %m %U:%G').filter((line) => / d /.test(line)),
    ['home d 755 0:0', 'home/app d 700 10:20', 'l d 755 0:0', 'tmp d 1777 0:0', 'usr d 755 0:0'],
  );
  assert.deepEqual([lstatSync(root).mode & 0o7777, lstatSync(root).uid], [0o711, 1]);
});

test('an image with 130 layers mounts, also below a path with separators in it', async (t) => {
  const store = await openStore(t, { root: `${scratch(t)}/a,b:c/${'long'.repeat(10)}` });
  const layers = Array.from({ length: 130 }, (_, i): Entry[] => [
    { path: `f${i}`, data: String(i) },
    { path: 'top', data: String(i) },
  ]);
  const image = await loadBuilt(store, scratch(t), { layers, compression: 'none' });
  const root = mountImage(t, store, image.id);
  assert.equal(readdirSync(root).length, 131);
  assert.equal(readFileSync(`${root}/top`, 'utf8'), '129');
  assert.equal(readFileSync(`${root}/f0`, 'utf8'), '0');
  writeFileSync(`${root}/f0`, 'changed');
  assert.equal(readFileSync(`${store.lowerDirs(image.id).at(-1)}/f0`, 'utf8'), '0');
});

test('an image without layers mounts empty', async (t) => {
  const store = await openStore(t);
  const image = await loadBuilt(store, scratch(t), { layers: [] });
  assert.deepEqual(readdirSync(mountImage(t, store, image.id)), []);
});

test('a second opener is refused; a closed store opens again with everything in it', async (t) => {
  const store = await openStore(t);
  const image = await loadBuilt(store, scratch(t), {
    layers: [[{ path: 'f', data: '1' }]],
    name: 'localhost/x:1',
    config: { Cmd: ['/f'], User: '7' },
  });
  store.setPinned(image.id, true);
  store.acquire(image.id, 'container');
  await assert.rejects(openImageStore({ root: store.root }), { code: 'store-in-use' });
  const [usage, list] = [store.usage(), store.list()];
  await store.close();
  const again = await openStore(t, { root: store.root });
  assert.deepEqual(again.list(), list);
  assert.equal(again.list()[0]!.pinned, true);
  assert.deepEqual(again.list()[0]!.config, { User: '7', Cmd: ['/f'] });
  assert.deepEqual(again.usage(), usage);
  assert.deepEqual(again.owners(), [{ ownerId: 'container', imageId: image.id }]);
});

test('what a crash left unfinished is gone after the next opening; what was recorded stays', async (t) => {
  const store = await openStore(t);
  const image = await loadBuilt(store, scratch(t), { layers: [[{ path: 'f', data: '1' }]], name: 'x/y:1' });
  await store.close();
  const { root } = store;
  writeFileSync(`${root}/tmp/99`, 'half a blob');
  mkdirSync(`${root}/trash/98/fs`, { recursive: true });
  writeFileSync(`${root}/blobs/sha256/${'0'.repeat(64)}`, 'never recorded');
  mkdirSync(`${root}/layers/77/fs/deep`, { recursive: true });
  writeFileSync(`${root}/layers/77/fs/deep/f`, 'half a layer');
  const again = await openStore(t, { root });
  assert.deepEqual([...readdirSync(`${root}/tmp`), ...readdirSync(`${root}/trash`)], []);
  assert.deepEqual(readdirSync(`${root}/layers`), ['1']);
  assert.ok(!existsSync(`${root}/blobs/sha256/${'0'.repeat(64)}`));
  assert.equal(readFileSync(`${mountImage(t, again, image.id)}/f`, 'utf8'), '1');
});

test('a process killed in the middle of a load leaves a store that opens and loads', async (t) => {
  const dir = scratch(t);
  const layers = Array.from({ length: 6 }, (_, i): Entry[] => [
    { path: `f${i}`, data: Buffer.alloc(3_000_000, i) },
  ]);
  buildImageLayout(`${dir}/layout`, { layers, name: 'x/y:1' });
  const script = `import { openImageStore } from ${JSON.stringify(import.meta.resolve('@amphipod/images'))};
    const store = await openImageStore({ root: process.argv[1] });
    console.log('open');
    await store.load({ kind: 'oci-layout', path: process.argv[2] });
    console.log('loaded');`;
  for (const afterMs of [0, 50, 100, 150, 200, 250, 300, 400, undefined]) {
    const child = spawn(
      process.execPath,
      ['--input-type=module', '-e', script, `${dir}/store`, `${dir}/layout`],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    await once(child.stdout, 'data');
    if (afterMs !== undefined) setTimeout(() => child.kill('SIGKILL'), afterMs);
    const [exitCode] = await once(child, 'exit');
    if (afterMs === undefined) assert.equal(exitCode, 0);
    const store = await openImageStore({ root: `${dir}/store` });
    for (const image of store.list()) assert.equal(store.lowerDirs(image.id).length, 6);
    assert.equal(readdirSync(`${dir}/store/layers`).length, store.list().length * 6, `after ${afterMs} ms`);
    await store.remove('x/y:1');
    await store.close();
  }
  const store = await openStore(t, { root: `${dir}/store` });
  const [image] = await store.load({ kind: 'oci-layout', path: `${dir}/layout` });
  for (const [i, layer] of store.lowerDirs(image!.id).reverse().entries()) {
    assert.ok(readFileSync(`${layer}/f${i}`).equals(Buffer.alloc(3_000_000, i)));
  }
});

test('IMG-19: removing one name removes the image under all its names; layers in use stay until released', async (t) => {
  const store = await openStore(t);
  const dir = scratch(t);
  const shared: Entry[] = [{ path: 'shared', data: 'x' }];
  const layers = [shared, [{ path: 'own', data: '1' }]];
  const image = await loadBuilt(store, dir, { layers, name: 'a/one:1' });
  await loadBuilt(store, dir, { layers, name: 'b/two:2' });
  const other = await loadBuilt(store, dir, {
    layers: [shared],
    name: 'c/three:3',
    config: { User: 'other' },
  });
  assert.deepEqual(store.find(image.id)!.repoTags, ['docker.io/a/one:1', 'docker.io/b/two:2']);
  store.acquire(image.id, 'c1');
  store.acquire(image.id, 'c2');
  const inUse = store.usage();
  await store.remove('b/two:2');
  for (const name of ['a/one:1', 'b/two:2', image.id, image.id.slice(7, 20)])
    assert.equal(store.find(name), undefined, name);
  assert.deepEqual(
    store.list().map(({ id }) => id),
    [other.id],
  );
  assert.equal(store.lowerDirs(image.id).length, 2);
  assert.deepEqual(store.usage(), inUse);
  store.release('c1');
  assert.ok(existsSync(`${store.lowerDirs(image.id)[0]}/own`));
  store.release('c2', image.id);
  assert.throws(() => store.lowerDirs(image.id), { code: 'not-found' });
  assert.ok(store.usage().usedBytes < inUse.usedBytes);
  assert.ok(existsSync(`${store.lowerDirs(other.id)[0]}/shared`), 'a shared layer stays');
  await store.remove('b/two:2');
  await store.remove('never/was:1');
  await store.remove(other.id);
  assert.deepEqual(store.usage(), { usedBytes: 0n, inodesUsed: 0n });
  assert.deepEqual(
    [readdirSync(`${store.root}/layers`), readdirSync(`${store.root}/blobs/sha256`)],
    [[], []],
  );
});

test('a removed image that is still held comes back whole when it is loaded again', async (t) => {
  const store = await openStore(t);
  const image = await loadBuilt(store, scratch(t), { layers: [[{ path: 'f', data: '1' }]], name: 'a/b:1' });
  store.acquire(image.id, 'c');
  await store.remove(image.id);
  await loadBuilt(store, scratch(t), { layers: [[{ path: 'f', data: '1' }]], name: 'a/b:1' });
  store.release('c');
  assert.deepEqual(
    store.list().map(({ repoTags }) => repoTags),
    [['docker.io/a/b:1']],
  );
  assert.ok(existsSync(`${store.lowerDirs(image.id)[0]}/f`));
});

test('a tag moves to the newer image; the older one stays under its digest', async (t) => {
  const store = await openStore(t);
  const one = await loadBuilt(store, scratch(t), { layers: [[{ path: 'f', data: '1' }]], name: 'a/b:1' });
  const two = await loadBuilt(store, scratch(t), { layers: [[{ path: 'f', data: '2' }]], name: 'a/b:1' });
  assert.equal(store.find('a/b:1')!.id, two.id);
  assert.deepEqual(store.find(one.id)!.repoTags, []);
  assert.equal(store.find(one.repoDigests[0]!)!.id, one.id);
  assert.equal(store.find(`a/b:1@${one.repoDigests[0]!.split('@')[1]}`)!.id, one.id);
  const hex = two.id.slice('sha256:'.length);
  for (const text of [hex, hex.slice(0, 12), `sha256:${hex.slice(0, 12)}`, 'docker.io/a/b:1']) {
    assert.equal(store.find(text)!.id, two.id, text);
  }
  assert.equal(store.find(''), undefined);
});

test('usage is near what du says', async (t) => {
  const store = await openStore(t);
  const files = Array.from(
    { length: 50 },
    (_, i): Entry => ({ path: `d${i % 7}/f${i}`, data: Buffer.alloc(i * 1000, 'x') }),
  );
  await loadBuilt(store, scratch(t), { layers: [files] });
  const du = (option: string) => {
    const out = execFileSync(
      'du',
      ['-s', option, `${store.root}/layers/1/fs`, `${store.root}/blobs/sha256`],
      { encoding: 'utf8' },
    );
    return out
      .trim()
      .split('\n')
      .reduce((sum, line) => sum + Number(line.split('\t')[0]), 0);
  };
  const { usedBytes, inodesUsed } = store.usage();
  assert.ok(
    Math.abs(Number(usedBytes) / 1024 / du('-k') - 1) < 0.05,
    `${usedBytes} bytes, du ${du('-k')} KiB`,
  );
  // du counts the blobs' own directory.
  assert.equal(Number(inodesUsed), du('--inodes') - 1);
});

test("the image's links stay links: nothing of the host shows through", async (t) => {
  const store = await openStore(t);
  const image = await loadBuilt(store, scratch(t), {
    layers: [[{ path: 'etc/passwd', type: 'symlink', linkPath: '/nix/pw' }]],
  });
  assert.equal(readlinkSync(`${mountImage(t, store, image.id)}/etc/passwd`), '/nix/pw');
});
