import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Image } from '@amphipod/images';
import { buildImageLayout } from '@amphipod/images/testing';
import { isCode } from '@amphipod/linux';
import { openStore, scratch } from './images-support.ts';

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

test('whoever loads is told of the image that came, also of one that is listed once for each of its names', async (t) => {
  const layout = `${scratch(t)}/layout`;
  const built = ['a:1', 'b:1', 'a:2'].map((name) => {
    const layers = [[{ path: name.slice(0, 1), data: '1' }]];
    const { id } = buildImageLayout(layout, { layers, name: `localhost/${name}` });
    return { id, entry: JSON.parse(readFileSync(`${layout}/index.json`, 'utf8')).manifests[0] };
  });
  const manifests = built.map(({ entry }) => entry);
  writeFileSync(`${layout}/index.json`, JSON.stringify({ schemaVersion: 2, manifests }));
  const store = await openStore(t);
  const told: string[] = [];
  const loaded = await store.load(
    { kind: 'oci-layout', path: layout },
    { onLoaded: ({ id }) => told.push(id) },
  );
  assert.deepEqual(
    told,
    built.map(({ id }) => id),
  );
  assert.deepEqual(
    loaded.map(({ repoTags }) => repoTags),
    [['localhost/a:1', 'localhost/a:2'], ['localhost/b:1']],
  );
});
