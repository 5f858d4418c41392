import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { buildImageLayout, type Entry, type ImageSpec } from '@amphipod/images/testing';
import { isCode } from '@amphipod/linux';
import { readBoltFile } from '../../packages/images/src/import/bolt-file.ts';
import { run } from '../cri/support/program.ts';
import { type ImageContainerd, startImageContainerd } from './images-containerd.ts';
import { listTree, mountImage, openStore, scratch } from './images-support.ts';

const layers: Entry[][] = [
  [
    { path: 'bin/tool', data: randomBytes(700_001), mode: 0o4755, mtime: 1.5, uid: 3 },
    { path: 'bin/other', type: 'hardlink', linkPath: 'bin/tool' },
    { path: `long/${'n'.repeat(120)}/ü`, data: 'name' },
    { path: 'gone', data: '1' },
    { path: 'empty', data: '' },
    { path: 'sub', type: 'directory', mode: 0o700 },
  ],
  [
    { path: '.wh.gone' },
    { path: 'l', type: 'symlink', linkPath: 'bin/tool' },
    { path: 'etc/conf', data: 'x' },
  ],
];
const tree = '%P %y %m %U:%G %n %s %l %T@';

/** The tree that the image has when it is loaded in the ordinary way. */
async function expectedTree(t: TestContext, spec: ImageSpec): Promise<string[]> {
  const dir = scratch(t);
  buildImageLayout(`${dir}/l`, spec);
  const store = await openStore(t);
  const [image] = await store.load({ kind: 'oci-layout', path: `${dir}/l` });
  return timed(listTree(mountImage(t, store, image!.id), tree));
}

/** Directories that a layer only implies have the time of the unpacking. */
function timed(lines: string[]): string[] {
  return lines.map((line) => (/ d /.test(line) ? line.replace(/ [0-9.]+$/, '') : line));
}

/** Until the test is over. */
async function startContainerd(t: TestContext, dir: string): Promise<ImageContainerd> {
  const server = await startImageContainerd(dir);
  t.after(() => server[Symbol.asyncDispose]());
  return server;
}

async function importInto(
  ctr: (...args: string[]) => Promise<string>,
  dir: string,
  { namespace, ...spec }: ImageSpec & { namespace: string },
): Promise<{ manifestDigest: string; id: string }> {
  const layout = `${dir}/layout-${Date.now()}-${Math.random()}`;
  const built = buildImageLayout(layout, spec);
  await run(['tar', '-cf', `${layout}.tar`, '-C', layout, '.']);
  await ctr('-n', namespace, 'images', 'import', '--all-platforms', `${layout}.tar`);
  return built;
}

test('images move over from a containerd that runs, with their names and digests, without the network', async (t) => {
  const dir = scratch(t);
  const { ctr } = await startContainerd(t, `${dir}/c`);
  const source = { kind: 'containerd' as const, path: `${dir}/c/root` };
  const store = await openStore(t);
  await assert.rejects(store.load(source), { code: 'not-found', message: /"k8s.io": it has no images/ });
  const one = await importInto(ctr, dir, { layers, name: 'docker.io/x/y:1', namespace: 'k8s.io' });
  await ctr('-n', 'k8s.io', 'images', 'tag', 'docker.io/x/y:1', 'localhost/other:2');
  // CRI's names for the same: by digest, and by the id.
  await ctr('-n', 'k8s.io', 'images', 'tag', 'docker.io/x/y:1', `docker.io/x/y@${one.manifestDigest}`);
  await ctr('-n', 'k8s.io', 'images', 'tag', 'docker.io/x/y:1', one.id);
  const spec = { layers: [layers[0]!], compression: 'zstd' as const, config: { User: '7' } };
  const two = await importInto(ctr, dir, { ...spec, name: 'localhost/two:1', namespace: 'k8s.io' });
  // More names than fit on one page, so that the file has branches; and another namespace.
  for (let i = 0; i < 200; i++)
    await ctr('-n', 'k8s.io', 'images', 'tag', 'localhost/two:1', `localhost/many/${'x'.repeat(60)}:${i}`);
  await importInto(ctr, dir, { layers: [], name: 'localhost/elsewhere:1', namespace: 'moby' });

  const loaded = await store.load(source);
  assert.deepEqual(loaded.map(({ id }) => id).sort(), [one.id, two.id].sort());
  const image = store.find(one.id)!;
  assert.deepEqual(image.repoTags, ['docker.io/x/y:1', 'localhost/other:2']);
  assert.deepEqual(image.repoDigests, [
    `docker.io/x/y@${one.manifestDigest}`,
    `localhost/other@${one.manifestDigest}`,
  ]);
  assert.equal(store.find(two.id)!.repoTags.length, 201);
  assert.deepEqual(timed(listTree(mountImage(t, store, one.id), tree)), await expectedTree(t, { layers }));
  assert.deepEqual((await store.verify()).damages, []);
  // And back: what is saved here, containerd takes.
  const chunks: Buffer[] = [];
  for await (const chunk of store.save(['docker.io/x/y:1', 'localhost/other:2'])) chunks.push(chunk);
  writeFileSync(`${dir}/back.tar`, Buffer.concat(chunks));
  await ctr('-n', 'back', 'images', 'import', `${dir}/back.tar`);
  const back = (await ctr('-n', 'back', 'images', 'ls')).split('\n').slice(1, 3);
  assert.match(back[0]!, new RegExp(`^docker\\.io/x/y:1 .* ${one.manifestDigest} `));
  assert.match(back[1]!, new RegExp(`^localhost/other:2 .* ${one.manifestDigest} `));
  const [elsewhere] = await store.load({ ...source, namespace: 'moby' });
  assert.deepEqual(elsewhere!.repoTags, ['localhost/elsewhere:1']);
  await assert.rejects(store.load({ ...source, namespace: 'none' }), {
    code: 'not-found',
    message: /k8s\.io.*moby|moby.*k8s\.io/,
  });
  const [chosen] = await (await openStore(t)).load({ ...source, reference: 'localhost/other:2' });
  assert.deepEqual([chosen!.id, chosen!.repoTags], [one.id, ['localhost/other:2']]);
});

test('what containerd has no content of is named, and the others come', async (t) => {
  const dir = scratch(t);
  const { ctr } = await startContainerd(t, `${dir}/c`);
  await importInto(ctr, dir, { layers, name: 'localhost/broken:1', namespace: 'k8s.io' });
  const whole = await importInto(ctr, dir, {
    layers: [layers[1]!],
    name: 'localhost/whole:1',
    namespace: 'k8s.io',
  });
  const content = `${dir}/c/root/io.containerd.content.v1.content/blobs/sha256`;
  const { layers: descriptors } = JSON.parse(
    await ctr('-n', 'k8s.io', 'content', 'get', (await digestOf(ctr, 'localhost/broken:1')).trim()),
  );
  rmSync(`${content}/${descriptors[0].digest.slice(7)}`);
  const store = await openStore(t);
  const failures: string[] = [];
  const loaded = await store.load(
    { kind: 'containerd', path: `${dir}/c/root` },
    { onFailure: (names, error) => failures.push(`${names}: ${error.message}`) },
  );
  assert.deepEqual(
    loaded.map(({ id }) => id),
    [whole.id],
  );
  assert.equal(failures.length, 1);
  assert.match(failures[0]!, /^localhost\/broken:1: .*ENOENT/);
  for (const place of ['tmp', 'trash']) assert.deepEqual(readdirSync(`${store.root}/${place}`), []);
  await assert.rejects(store.load({ kind: 'containerd', path: dir }), {
    code: 'not-found',
    message: /root directory of containerd/,
  });
  const database = `${dir}/c/root/io.containerd.metadata.v1.bolt/meta.db`;
  const bytes = readFileSync(database);
  for (let i = 0; i < 500; i++) {
    const spoilt = Buffer.from(bytes);
    for (const [at, value] of [randomBytes(4), randomBytes(4)].map(
      (r) => [r.readUInt32LE() % bytes.length, r[0]!] as const,
    ))
      spoilt[at] = value;
    // Above all where pages say what is in them.
    const page = 4096 * (2 + (i % (bytes.length / 4096 - 2)));
    randomBytes(24).copy(spoilt, page + 8, 0, 1 + (i % 24));
    writeFileSync(database, spoilt);
    try {
      readBoltFile(database);
    } catch (error) {
      assert.ok(isCode(error, 'invalid-manifest'), `${error}`);
    }
  }
  writeFileSync(database, randomBytes(70_000));
  await assert.rejects(store.load({ kind: 'containerd', path: `${dir}/c/root` }), {
    code: 'invalid-manifest',
    message: /not a bolt database/,
  });
});

async function digestOf(ctr: (...args: string[]) => Promise<string>, name: string): Promise<string> {
  const line = (await ctr('-n', 'k8s.io', 'images', 'ls')).split('\n').find((text) => text.startsWith(name));
  return /sha256:[0-9a-f]{64}/.exec(line ?? '')![0];
}

for (const driver of ['overlay', 'vfs'] as const) {
  test(`images move over from containers/storage (${driver}), layers byte for byte, with their digests`, async (t) => {
    const dir = scratch(t);
    const spec: ImageSpec = { layers, name: 'docker.io/x/y:1', config: { Cmd: ['/bin/tool'] } };
    const { id, manifestDigest } = buildImageLayout(`${dir}/layout`, spec);
    await run(['tar', '-cf', `${dir}/l.tar`, '-C', `${dir}/layout`, '.']);
    const root = `${dir}/storage`;
    const podman = (...args: string[]) =>
      execFileSync(
        'podman',
        ['--root', root, '--runroot', `${dir}/run`, '--storage-driver', driver, ...args],
        {
          encoding: 'utf8',
        },
      );
    podman('load', '-q', '-i', `${dir}/l.tar`);
    podman('tag', 'docker.io/x/y:1', 'localhost/other:2');
    const store = await openStore(t);
    const source = { kind: 'containers-storage' as const, path: root };
    const [image] = await store.load(source);
    assert.equal(image!.id, id);
    assert.deepEqual(image!.repoTags, ['docker.io/x/y:1', 'localhost/other:2']);
    assert.deepEqual(image!.repoDigests, [
      `docker.io/x/y@${manifestDigest}`,
      `localhost/other@${manifestDigest}`,
    ]);
    assert.deepEqual(timed(listTree(mountImage(t, store, id), tree)), await expectedTree(t, spec));
    assert.deepEqual((await store.verify()).damages, []);
    // It can go on from here: the layers are there as they came out of the tree.
    const chunks: Buffer[] = [];
    for await (const chunk of store.save([id])) chunks.push(chunk);
    writeFileSync(`${dir}/saved.tar`, Buffer.concat(chunks));
    const other = await openStore(t);
    assert.equal((await other.load({ kind: 'archive', path: `${dir}/saved.tar` }))[0]!.id, id);

    const diff = driver === 'overlay' ? 'overlay/ID/diff' : 'vfs/dir/ID';
    for (const name of readdirSync(`${root}/${driver === 'overlay' ? 'overlay' : 'vfs/dir'}`)) {
      const file = `${root}/${diff.replace('ID', name)}/bin/tool`;
      if (existsSync(file)) writeFileSync(file, 'X', { flag: 'r+' });
    }
    await assert.rejects((await openStore(t)).load(source), {
      code: 'digest-mismatch',
      message: /they were changed/,
    });
    for (const name of readdirSync(`${root}/${driver}-layers`))
      if (name.endsWith('.tar-split.gz')) rmSync(`${root}/${driver}-layers/${name}`);
    await assert.rejects((await openStore(t)).load(source), {
      code: 'not-found',
      message: /tar-split is not kept/,
    });
    appendFileSync(`${root}/${driver}-images/images.json`, '!');
    await assert.rejects((await openStore(t)).load(source), {
      code: 'invalid-manifest',
      message: /not JSON/,
    });
    await assert.rejects(store.load({ ...source, path: dir }), { code: 'not-found' });
  });
}
