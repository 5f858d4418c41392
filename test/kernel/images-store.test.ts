import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { test } from 'node:test';
import { type Image, openImageStore } from '@amphipod/images';
import { buildImageLayout, type Entry } from '@amphipod/images/testing';
import { isCode } from '@amphipod/linux';
import { listTree, loadBuilt, mountImage, openStore, scratch } from './images-support.ts';

const json = (path: string) => JSON.parse(readFileSync(path, 'utf8'));

/** Rewrites the manifest of a layout with one image. */
function editManifest(layout: string, edit: (manifest: Record<string, unknown>) => void): void {
  const index = json(`${layout}/index.json`);
  const [entry] = index.manifests;
  const manifest = json(`${layout}/blobs/${entry.digest.replace(':', '/')}`);
  edit(manifest);
  index.manifests = [{ ...entry, ...putBlob(layout, JSON.stringify(manifest)) }];
  writeFileSync(`${layout}/index.json`, JSON.stringify(index));
}

function putBlob(layout: string, text: string): { digest: string; size: number } {
  const hex = createHash('sha256').update(text).digest('hex');
  writeFileSync(`${layout}/blobs/sha256/${hex}`, text);
  return { digest: `sha256:${hex}`, size: Buffer.byteLength(text) };
}

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

test('archives: OCI and docker, new and old, from skopeo', async (t) => {
  const dir = scratch(t);
  const store = await openStore(t);
  const { id, manifestDigest } = buildImageLayout(`${dir}/layout`, {
    layers: [[{ path: 'f', data: '1' }]],
    name: 'x/y:1',
  });
  const skopeo = (to: string) => execFileSync('skopeo', ['copy', '-q', `oci:${dir}/layout:x/y:1`, to]);
  skopeo(`oci-archive:${dir}/oci.tar:localhost/o:1`);
  skopeo(`docker-archive:${dir}/docker.tar:localhost/d:1`);
  execFileSync('gzip', ['-k', `${dir}/docker.tar`]);
  const load = (kind: 'oci-archive' | 'docker-archive', path: string, reference?: string) =>
    store.load({ kind, path: `${dir}/${path}`, ...(reference && { reference }) });
  const [oci] = await load('oci-archive', 'oci.tar');
  assert.deepEqual(
    [oci!.id, oci!.repoTags, oci!.repoDigests],
    [id, ['localhost/o:1'], [`localhost/o@${manifestDigest}`]],
  );
  const [docker] = await load('docker-archive', 'docker.tar');
  assert.deepEqual([docker!.id, docker!.repoTags], [id, ['localhost/d:1', 'localhost/o:1']]);
  const [zipped] = await load('docker-archive', 'docker.tar.gz', 'localhost/z:1');
  assert.ok(zipped!.repoTags.includes('localhost/z:1'));
  await assert.rejects(load('oci-archive', 'docker.tar'), {
    code: 'invalid-manifest',
    message: /index\.json/,
  });
  await assert.rejects(load('docker-archive', 'missing.tar'), { code: 'not-found' });
  truncateSync(`${dir}/oci.tar`, 2000);
  await assert.rejects(load('oci-archive', 'oci.tar'), { code: 'truncated-archive' });
  assert.deepEqual(readdirSync(`${store.root}/tmp`), []);
});

test('IMG-16: a docker archive whose layer.tar is a link to another layer; links that leave are refused', async (t) => {
  const dir = scratch(t);
  const store = await openStore(t);
  const { id } = buildImageLayout(`${dir}/layout`, {
    layers: [[{ path: 'f', data: '1' }], [{ path: 'f', data: '1' }]],
    compression: 'none',
  });
  const manifest = json(`${dir}/layout/index.json`).manifests[0].digest.slice(7);
  const [layer] = json(`${dir}/layout/blobs/sha256/${manifest}`).layers;
  const make = (name: string, link: string) => {
    const to = `${dir}/${name}`;
    mkdirSync(`${to}/id1`, { recursive: true });
    mkdirSync(`${to}/id2`);
    writeFileSync(
      `${to}/id1/layer.tar`,
      readFileSync(`${dir}/layout/blobs/${layer.digest.replace(':', '/')}`),
    );
    symlinkSync(link, `${to}/id2/layer.tar`);
    writeFileSync(`${to}/config.json`, readFileSync(`${dir}/layout/blobs/${id.replace(':', '/')}`));
    const item = {
      Config: 'config.json',
      RepoTags: ['old/image:1'],
      Layers: ['id1/layer.tar', 'id2/layer.tar'],
    };
    writeFileSync(`${to}/manifest.json`, JSON.stringify([item]));
    execFileSync('tar', ['-cf', `${to}.tar`, '-C', to, '.']);
    return store.load({ kind: 'docker-archive', path: `${to}.tar` });
  };
  const [image] = await make('good', '../id1/layer.tar');
  assert.deepEqual([image!.id, image!.repoTags], [id, ['docker.io/old/image:1']]);
  await assert.rejects(make('bad1', '../../../../../../etc/passwd'), {
    code: 'unsafe-path',
    message: /id2\/layer\.tar/,
  });
  await assert.rejects(make('bad2', '/etc/passwd'), { code: 'unsafe-path' });
});

test('IMG-14: attestations are passed over; nested indexes work; a missing platform names what there is', async (t) => {
  const dir = scratch(t);
  const store = await openStore(t);
  const layout = `${dir}/l`;
  const amd64 = buildImageLayout(layout, {
    layers: [[{ path: 'f', data: 'amd64' }]],
    platform: { os: 'linux', architecture: 'amd64' },
  });
  const [good] = json(`${layout}/index.json`).manifests;
  const attestation = {
    mediaType: good.mediaType,
    ...putBlob(layout, '{"not":"read"}'),
    platform: { os: 'unknown', architecture: 'unknown' },
    annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
  };
  const arm = { ...good, platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } };
  const nested = (manifests: unknown[]) => ({
    mediaType: 'application/vnd.oci.image.index.v1+json',
    ...putBlob(
      layout,
      JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests }),
    ),
  });
  const load = (manifests: unknown[], architecture = 'amd64') => {
    writeFileSync(`${layout}/index.json`, JSON.stringify({ schemaVersion: 2, manifests }));
    return store.load({ kind: 'oci-layout', path: layout }, { platform: { os: 'linux', architecture } });
  };
  const { platform: _, ...unnamed } = good;
  for (const manifests of [
    [attestation, good],
    [good, arm],
    [nested([arm, attestation, good])],
    [nested([nested([good])])],
    [unnamed],
  ]) {
    assert.deepEqual(
      (await load(manifests)).map(({ id }) => id),
      [amd64.id],
    );
  }
  await assert.rejects(load([nested([arm, attestation])]), {
    code: 'no-matching-platform',
    message: /linux\/amd64.*linux\/arm64\/v8/,
  });
  await assert.rejects(load([arm]), { code: 'no-matching-platform' });
  await assert.rejects(load([good], 's390x'), {
    code: 'no-matching-platform',
    message: /linux\/s390x.*linux\/amd64/,
  });
});

test('wrong content is refused and leaves nothing: digests, sizes, diff ids, kinds, JSON', async (t) => {
  const dir = scratch(t);
  const store = await openStore(t);
  const before = store.usage();
  let number = 0;
  const attempt = async (
    code: string,
    spoil: (layout: string, layer: { digest: string; size: number; mediaType: string }) => void,
  ) => {
    const layout = `${dir}/${number++}`;
    buildImageLayout(layout, { layers: [[{ path: 'f', data: 'x'.repeat(5000) }]], name: 'a/b:1' });
    const { digest } = json(`${layout}/index.json`).manifests[0];
    spoil(layout, json(`${layout}/blobs/${digest.replace(':', '/')}`).layers[0]);
    await assert.rejects(
      store.load({ kind: 'oci-layout', path: layout }),
      (error) => isCode(error, code),
      `${code} ${number}`,
    );
    assert.deepEqual(store.list(), []);
    assert.deepEqual(store.usage(), before);
    for (const place of ['tmp', 'trash', 'layers', 'blobs/sha256'])
      assert.deepEqual(readdirSync(`${store.root}/${place}`), [], place);
  };
  const layerPath = (layout: string, digest: string) => `${layout}/blobs/${digest.replace(':', '/')}`;
  await attempt('digest-mismatch', (layout, { digest }) => writeFileSync(layerPath(layout, digest), 'other'));
  await attempt('not-found', (layout, { digest }) => execFileSync('rm', [layerPath(layout, digest)]));
  await attempt('digest-mismatch', (layout) =>
    editManifest(layout, (m) => ((m.layers as { size: number }[])[0]!.size += 1)),
  );
  await attempt('digest-mismatch', (layout) => {
    editManifest(layout, (manifest) => {
      const { digest } = manifest.config as { digest: string };
      const config = json(layerPath(layout, digest));
      config.rootfs.diff_ids = [`sha256:${'1'.repeat(64)}`];
      Object.assign(manifest.config as object, putBlob(layout, JSON.stringify(config)));
    });
  });
  for (const type of [
    'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
    'application/vnd.in-toto+json',
    'application/vnd.oci.image.layer.v1.tar+gzip+encrypted',
  ]) {
    await attempt('unsupported-media-type', (layout) =>
      editManifest(layout, (m) => ((m.layers as { mediaType: string }[])[0]!.mediaType = type)),
    );
  }
  await attempt('unsupported-media-type', (layout) => editManifest(layout, (m) => (m.schemaVersion = 1)));
  await attempt('invalid-manifest', (layout) =>
    editManifest(layout, (m) => (m.layers = [{ digest: 'sha256:../../x', size: 1 }])),
  );
  await attempt('invalid-manifest', (layout) => writeFileSync(`${layout}/index.json`, '{'));
});

test('IMG-17: many loads at once give one image, one layer, and no error', async (t) => {
  const dir = scratch(t);
  const store = await openStore(t);
  buildImageLayout(`${dir}/l`, { layers: [[{ path: 'f', data: Buffer.alloc(2_000_000) }]], name: 'a/b:1' });
  const loads = Array.from({ length: 10 }, () => store.load({ kind: 'oci-layout', path: `${dir}/l` }));
  const ids = (await Promise.all(loads)).flat().map(({ id }: Image) => id);
  assert.equal(new Set(ids).size, 1);
  assert.deepEqual(readdirSync(`${store.root}/layers`), ['1']);
});

test("the image's links stay links: nothing of the host shows through", async (t) => {
  const store = await openStore(t);
  const image = await loadBuilt(store, scratch(t), {
    layers: [[{ path: 'etc/passwd', type: 'symlink', linkPath: '/nix/pw' }]],
  });
  assert.equal(readlinkSync(`${mountImage(t, store, image.id)}/etc/passwd`), '/nix/pw');
});
