import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createReadStream, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import type { ImageStore, SaveOptions } from '@amphipod/images';
import { buildImageLayout, type Entry } from '@amphipod/images/testing';
import { listTree, loadBuilt, mountImage, openStore, scratch } from './images-support.ts';

const layers: Entry[][] = [
  [
    { path: 'bin/tool', data: Buffer.alloc(700_001, 't'), mode: 0o755 },
    { path: 'gone', data: '1' },
  ],
  [{ path: '.wh.gone' }, { path: 'etc/conf', data: 'x' }],
];

async function saveTo(
  store: ImageStore,
  path: string,
  { references, ...options }: SaveOptions & { references: string[] },
): Promise<void> {
  // Opened first: a stream by path would make the file later, perhaps when its directory is being removed.
  const file = await open(path, 'w');
  await pipeline(store.save(references, options), file.createWriteStream());
}

for (const format of ['oci-archive', 'docker-archive'] as const) {
  test(`what is saved as ${format} loads again here, with every name, and in skopeo and podman`, async (t) => {
    const dir = scratch(t);
    const store = await openStore(t);
    const one = await loadBuilt(store, dir, {
      layers,
      name: 'docker.io/x/y:1',
      config: { Cmd: ['/bin/tool'] },
    });
    await loadBuilt(store, dir, { layers, name: 'localhost/other:2', config: { Cmd: ['/bin/tool'] } });
    const two = await loadBuilt(store, dir, {
      layers: [layers[0]!],
      name: 'localhost/two:1',
      compression: 'zstd',
    });
    const expected = listTree(mountImage(t, store, one.id), '%P %y %m %s %l');
    const file = `${dir}/saved.tar`;
    await saveTo(store, file, { references: [one.id, 'localhost/two:1'], format });
    assert.deepEqual(readdirSync(`${store.root}/tmp`), []);

    const other = await openStore(t);
    const loaded = await other.load({ kind: 'archive', path: file });
    assert.deepEqual(loaded.map(({ id }) => id).sort(), [one.id, two.id].sort());
    assert.deepEqual(other.find(one.id)!.repoTags, ['docker.io/x/y:1', 'localhost/other:2']);
    assert.deepEqual(listTree(mountImage(t, other, one.id), '%P %y %m %s %l'), expected);
    if (format === 'oci-archive')
      assert.deepEqual(other.find(one.id)!.repoDigests, store.find(one.id)!.repoDigests);

    const source = `${format}:${file}:${format === 'oci-archive' ? 'docker.io/x/y:1' : 'x/y:1'}`;
    execFileSync('skopeo', ['copy', '-q', source, `oci:${dir}/copied:c`]);
    const { digest } = JSON.parse(readFileSync(`${dir}/copied/index.json`, 'utf8')).manifests[0];
    const manifest = JSON.parse(readFileSync(`${dir}/copied/blobs/${digest.replace(':', '/')}`, 'utf8'));
    assert.equal(manifest.config.digest, one.id);
    const podman = (...args: string[]) =>
      execFileSync(
        'podman',
        ['--root', `${dir}/podman`, '--runroot', `${dir}/podman-run`, '--storage-driver', 'vfs', ...args],
        { encoding: 'utf8' },
      );
    t.after(() => execFileSync('rm', ['-rf', `${dir}/podman`]));
    podman('load', '-q', '-i', file);
    const names = podman('images', '--no-trunc', '--format', '{{.Repository}}:{{.Tag}} {{.ID}}')
      .trim()
      .split('\n');
    assert.deepEqual(names.sort(), [
      `docker.io/x/y:1 ${one.id}`,
      `localhost/other:2 ${one.id}`,
      `localhost/two:1 ${two.id}`,
    ]);
  });
}

test('one tag of two goes out alone when it is asked for', async (t) => {
  const dir = scratch(t);
  const store = await openStore(t);
  await loadBuilt(store, dir, { layers, name: 'localhost/a:1' });
  await loadBuilt(store, dir, { layers, name: 'localhost/b:2' });
  await saveTo(store, `${dir}/a.tar`, { references: ['localhost/a:1'] });
  const other = await openStore(t);
  assert.deepEqual((await other.load({ kind: 'archive', path: `${dir}/a.tar` }))[0]!.repoTags, [
    'localhost/a:1',
  ]);
  await assert.rejects(saveTo(store, `${dir}/b.tar`, { references: ['localhost/absent:1'] }), {
    code: 'not-found',
  });
});

test('an image whose layers came compressed in another way with another image can be saved when that one is gone', async (t) => {
  const dir = scratch(t);
  const store = await openStore(t);
  const zipped = await loadBuilt(store, dir, { layers, name: 'localhost/a:1', compression: 'gzip' });
  const plain = await loadBuilt(store, dir, {
    layers,
    name: 'localhost/b:1',
    compression: 'none',
    config: { User: '7' },
  });
  await store.remove(zipped.id);
  await saveTo(store, `${dir}/b.tar`, { references: ['localhost/b:1'] });
  const other = await openStore(t);
  const [loaded] = await other.load({ kind: 'archive', path: `${dir}/b.tar` });
  assert.equal(loaded!.id, plain.id);
  assert.deepEqual(listTree(mountImage(t, other, plain.id)), listTree(mountImage(t, store, plain.id)));
});

test('removing an image while it is saved does not break the archive', async (t) => {
  const dir = scratch(t);
  const store = await openStore(t);
  const image = await loadBuilt(store, dir, { layers, name: 'localhost/a:1' });
  const chunks: Buffer[] = [];
  for await (const chunk of store.save(['localhost/a:1'])) {
    if (chunks.length === 0) await store.remove(image.id);
    chunks.push(chunk);
  }
  assert.deepEqual(store.usage(), { usedBytes: 0n, inodesUsed: 0n });
  writeFileSync(`${dir}/a.tar`, Buffer.concat(chunks));
  const [loaded] = await store.load({ kind: 'archive', path: `${dir}/a.tar` });
  assert.equal(loaded!.id, image.id);
});

test('a damaged blob is not handed on', async (t) => {
  const dir = scratch(t);
  const store = await openStore(t);
  const image = await loadBuilt(store, dir, { layers, name: 'localhost/a:1' });
  const { digest } = store.describe(image.id).layers[0]!;
  const path = `${store.root}/blobs/${digest.replace(':', '/')}`;
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(path, bytes);
  await assert.rejects(saveTo(store, `${dir}/a.tar`, { references: [image.id] }), {
    code: 'digest-mismatch',
    message: new RegExp(digest),
  });
});

test('archives are known by what is in them, whatever they are called, compressed or not', async (t) => {
  const dir = scratch(t);
  buildImageLayout(`${dir}/layout`, { layers, name: 'localhost/a:1' });
  execFileSync('tar', ['-cf', `${dir}/a`, '-C', `${dir}/layout`, '.']);
  execFileSync('gzip', ['-k', `${dir}/a`]);
  const store = await openStore(t);
  assert.equal((await store.load({ kind: 'archive', path: `${dir}/a` })).length, 1);
  assert.equal((await store.load({ kind: 'archive', path: `${dir}/a.gz` })).length, 1);
  assert.equal((await store.load({ kind: 'archive', path: `${dir}/layout` })).length, 1);
  mkdirSync(`${dir}/empty`);
  execFileSync('tar', ['-cf', `${dir}/b`, '-C', `${dir}/empty`, '.']);
  await assert.rejects(store.load({ kind: 'archive', path: `${dir}/b` }), {
    code: 'invalid-archive',
    message: /neither index\.json nor manifest\.json/,
  });
});

test('a signature policy counts for what an archive turns out to be, and for the stores of others', async (t) => {
  const dir = scratch(t);
  const plain = await openStore(t);
  await loadBuilt(plain, dir, { layers, name: 'localhost/a:1' });
  for (const format of ['oci-archive', 'docker-archive'] as const)
    await saveTo(plain, `${dir}/${format}`, { references: ['localhost/a:1'], format });
  const reject = { '': [{ type: 'reject' }] };
  const policy = {
    default: [{ type: 'insecureAcceptAnything' }],
    transports: { 'docker-archive': reject, oci: reject, 'containers-storage': reject },
  };
  writeFileSync(`${dir}/policy.json`, JSON.stringify(policy));
  const store = await openStore(t, { signaturePolicy: `${dir}/policy.json` });
  assert.equal((await store.load({ kind: 'archive', path: `${dir}/oci-archive` })).length, 1);
  const refused = { code: 'signature-refused', message: /the policy rejects it/ };
  await assert.rejects(store.load({ kind: 'archive', path: `${dir}/docker-archive` }), refused);
  const data = createReadStream(`${dir}/docker-archive`);
  await assert.rejects(store.load({ kind: 'archive', path: 'a pipe', data }), refused);
  buildImageLayout(`${dir}/layout`, { layers, name: 'localhost/a:1' });
  await assert.rejects(store.load({ kind: 'archive', path: `${dir}/layout` }), refused);
  await assert.rejects(store.load({ kind: 'containers-storage', path: dir }), refused);
  assert.deepEqual(readdirSync(`${store.root}/tmp`), []);
});
