import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { buildImageLayout, type ImageSpec } from '@amphipod/images/testing';
import { startFakeRegistry } from './images-fake-registry.ts';
import { assertEmpty, randomLayers } from './images-faults-setup.ts';
import { openStore, scratch } from './images-support.ts';

// What registries hold beside plain images: indexes of all kinds, labels that lie, kinds that cannot run.

const amd64 = { os: 'linux', architecture: 'amd64' };
const indexType = 'application/vnd.oci.image.index.v1+json';
const dockerType = 'application/vnd.docker.distribution.manifest.v2+json';

type Json = Record<string, unknown>;

/** A layout that is changed by hand before a registry serves it. */
class Layout {
  readonly path: string;
  readonly id: string;
  readonly manifest: Json & { layers: Json[]; config: Json };
  readonly descriptor: Json;

  constructor(t: TestContext, spec: Partial<ImageSpec> = {}) {
    this.path = `${scratch(t)}/layout`;
    const image = { layers: randomLayers(2, 1000), platform: amd64, name: 't', ...spec };
    const { id, manifestDigest } = buildImageLayout(this.path, image);
    this.id = id;
    this.manifest = JSON.parse(this.read(manifestDigest).toString());
    this.descriptor = JSON.parse(readFileSync(`${this.path}/index.json`, 'utf8')).manifests[0];
  }

  read(digest: string): Buffer {
    return readFileSync(`${this.path}/blobs/${digest.replace(':', '/')}`);
  }

  put(document: Json | Buffer): { digest: string; size: number } {
    const bytes = Buffer.isBuffer(document) ? document : Buffer.from(JSON.stringify(document));
    const hex = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(`${this.path}/blobs/sha256/${hex}`, bytes);
    return { digest: `sha256:${hex}`, size: bytes.length };
  }

  /** What every tag gives. */
  serve(document: Json | Buffer): string {
    const { digest } = this.put(document);
    writeFileSync(`${this.path}/index.json`, JSON.stringify({ manifests: [{ digest }] }));
    return digest;
  }
}

const index = (...manifests: Json[]): Json => ({ schemaVersion: 2, mediaType: indexType, manifests });

async function pullFrom(t: TestContext, layout: Layout, reference = 't') {
  const registry = await startFakeRegistry(t, layout.path);
  const store = await openStore(t);
  const pull = () => store.pull(`${registry.host}/${reference}`, { platform: amd64 });
  return { registry, store, pull };
}

test('IMG-14: of an index with attestations, only the image is downloaded', async (t) => {
  const layout = new Layout(t);
  const attested = layout.put({ predicateType: 'https://slsa.dev/provenance/v0.2' });
  const attestation = layout.put({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: layout.manifest.config,
    layers: [{ mediaType: 'application/vnd.in-toto+json', ...attested }],
  });
  const unknown = { os: 'unknown', architecture: 'unknown' };
  const annotations = { 'vnd.docker.reference.type': 'attestation-manifest' };
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  for (const entry of [{ platform: unknown }, { platform: unknown, annotations }, { annotations }]) {
    layout.serve(index({ mediaType, ...attestation, ...entry }, { ...layout.descriptor, platform: amd64 }));
    const { registry, pull } = await pullFrom(t, layout);
    assert.equal((await pull()).id, layout.id);
    for (const { digest } of [attestation, attested])
      assert.ok(!registry.requests.some((request) => request.includes(digest)));
  }
});

test('IMG-14: nested indexes, an entry without a platform, and one for another platform only', async (t) => {
  const layout = new Layout(t);
  const { platform, ...bare } = layout.descriptor;
  const inner = layout.put(index({ ...layout.descriptor, platform: amd64 }));
  const outerDigest = layout.serve(index({ mediaType: indexType, ...inner }));
  const nested = await pullFrom(t, layout);
  const image = await nested.pull();
  assert.deepEqual([image.id, image.repoDigests], [layout.id, [`${nested.registry.host}/t@${outerDigest}`]]);
  layout.serve(index(bare));
  assert.equal((await (await pullFrom(t, layout)).pull()).id, layout.id);
  layout.serve(index({ ...bare, platform: { os: 'linux', architecture: 'arm64' } }));
  const other = await pullFrom(t, layout);
  await assert.rejects(other.pull(), {
    code: 'no-matching-platform',
    message: /no match for linux\/amd64: it has linux\/arm64/,
  });
  assertEmpty(other.store);
});

test('an index that contains itself ends', async (t) => {
  const layout = new Layout(t);
  // No digest can be its own; a chain that is too long is the same to us.
  let entry: Json = { ...layout.descriptor, platform: amd64 };
  for (let depth = 0; depth < 6; depth++) entry = { mediaType: indexType, ...layout.put(index(entry)) };
  layout.serve(index(entry));
  const { store, pull } = await pullFrom(t, layout);
  await assert.rejects(pull(), { code: 'invalid-manifest', message: /nested more than 4 deep/ });
  assertEmpty(store);
});

test('the variant of a platform is matched: exactly, or the next older one', async (t) => {
  const layouts = ['v6', 'v7'].map((variant) => {
    const platform = { os: 'linux', architecture: 'arm', variant };
    return { platform, layout: new Layout(t, { platform, config: { User: variant } }) };
  });
  const [older, newer] = layouts as [(typeof layouts)[0], (typeof layouts)[0]];
  for (const digest of [newer.layout.id, newer.layout.descriptor.digest as string])
    older.layout.put(newer.layout.read(digest));
  const entries = layouts.map(({ platform, layout }) => ({ ...layout.descriptor, platform }));
  older.layout.serve(index(...entries));
  const registry = await startFakeRegistry(t, older.layout.path);
  const store = await openStore(t);
  const user = async (variant: string) => {
    const platform = { os: 'linux', architecture: 'arm', variant };
    const image = await store.pull(`${registry.host}/t:${variant}`, { platform });
    return image.config.User;
  };
  assert.deepEqual([await user('v6'), await user('v7'), await user('v8')], ['v6', 'v7', 'v7']);
  await assert.rejects(user('v5'), {
    code: 'no-matching-platform',
    message: /linux\/arm\/v6, linux\/arm\/v7/,
  });
});

const ociLayer = 'application/vnd.oci.image.layer.v1.tar';
const dockerLayer = 'application/vnd.docker.image.rootfs.diff.tar';

for (const compression of ['gzip', 'zstd', 'none'] as const) {
  for (const mediaType of [
    ociLayer,
    `${ociLayer}+gzip`,
    `${ociLayer}+zstd`,
    dockerLayer,
    `${dockerLayer}.gzip`,
    `${dockerLayer}.zstd`,
  ]) {
    test(`IMG-15: a layer of ${compression} content under the type ${mediaType}`, async (t) => {
      const layout = new Layout(t, { compression });
      const isDocker = mediaType.startsWith(dockerLayer);
      const config = {
        ...layout.manifest.config,
        ...(isDocker && { mediaType: 'application/vnd.docker.container.image.v1+json' }),
      };
      layout.serve({
        ...layout.manifest,
        ...(isDocker && { mediaType: dockerType }),
        config,
        layers: layout.manifest.layers.map((layer) => ({ ...layer, mediaType })),
      });
      assert.equal((await (await pullFrom(t, layout)).pull()).id, layout.id);
    });
  }
}

test('kinds that cannot run are refused by name, before a blob is asked for', async (t) => {
  const cases: [change: (manifest: Layout['manifest']) => Json, name: RegExp][] = [
    [
      (manifest) => ({
        ...manifest,
        layers: [
          { ...manifest.layers[0], mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip' },
        ],
      }),
      /a foreign layer, to be had from elsewhere, of type "application\/vnd\.docker\.image\.rootfs\.foreign/,
    ],
    [
      (manifest) => ({
        ...manifest,
        layers: [
          {
            ...manifest.layers[0],
            mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
          },
        ],
      }),
      /a foreign layer.*nondistributable/,
    ],
    [
      (manifest) => ({
        ...manifest,
        layers: [{ ...manifest.layers[0], mediaType: `${ociLayer}+gzip+encrypted` }],
      }),
      /a layer of type "application\/vnd\.oci\.image\.layer\.v1\.tar\+gzip\+encrypted"/,
    ],
    [
      (manifest) => ({
        ...manifest,
        config: { ...manifest.config, mediaType: 'application/vnd.cncf.helm.config.v1+json' },
      }),
      /not a container image: its config has type "application\/vnd\.cncf\.helm/,
    ],
    [
      () => ({ schemaVersion: 1, name: 't', tag: 'latest', fsLayers: [], history: [], signatures: [] }),
      /Docker schema 1 manifests are not supported/,
    ],
  ];
  for (const [change, name] of cases) {
    const layout = new Layout(t);
    layout.serve(change(layout.manifest));
    const { registry, store, pull } = await pullFrom(t, layout);
    await assert.rejects(pull(), { code: 'unsupported-media-type', message: name });
    assert.equal(registry.requests.length, 1);
    assertEmpty(store);
  }
});

test('digests: a manifest is what its digest says, with a tag before it too; sha512 is refused by name', async (t) => {
  const layout = new Layout(t);
  const digest = layout.serve(layout.manifest);
  const { registry, store, pull } = await pullFrom(t, layout, `t:ignored@${digest}`);
  const image = await pull();
  assert.deepEqual(
    [image.id, image.repoTags, image.repoDigests],
    [layout.id, [], [`${registry.host}/t@${digest}`]],
  );
  assert.ok(!registry.requests.some((request) => request.includes('ignored')));
  await assert.rejects(store.pull(`${registry.host}/t@sha512:${'0'.repeat(128)}`), {
    code: 'invalid-reference',
    message: /sha512 digests are not supported/,
  });
});
