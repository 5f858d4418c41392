import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '@amphipod/linux';
import fc from 'fast-check';
import { ImageError } from './errors.ts';
import { choosePlatform, type Descriptor, parseConfig, parseManifest } from './manifest.ts';
import { hostPlatform, platformScore } from './platform.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));
const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: 2 };
const layer = (mediaType: string) => ({ mediaType, digest, size: 3 });

test('layers of OCI and Docker are taken, whatever compression they name', () => {
  for (const mediaType of [
    'application/vnd.oci.image.layer.v1.tar',
    'application/vnd.oci.image.layer.v1.tar+gzip',
    'application/vnd.oci.image.layer.v1.tar+zstd',
    'application/vnd.docker.image.rootfs.diff.tar.gzip',
    'application/vnd.docker.image.rootfs.diff.tar.zstd',
    'application/vnd.docker.image.rootfs.diff.tar',
  ]) {
    const manifest = parseManifest(bytes({ schemaVersion: 2, config, layers: [layer(mediaType)] }));
    assert.equal(manifest.kind === 'manifest' && manifest.layers[0]!.mediaType, mediaType);
  }
});

test('foreign kinds are refused by name', () => {
  for (const mediaType of [
    'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
    'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
    'application/vnd.wasm.content.layer.v1+wasm',
    '',
  ]) {
    assert.throws(() => parseManifest(bytes({ schemaVersion: 2, config, layers: [layer(mediaType)] })), {
      code: 'unsupported-media-type',
      message: new RegExp(mediaType.replace(/[.+]/g, '\\$&')),
    });
  }
  const chart = { ...config, mediaType: 'application/vnd.cncf.helm.config.v1+json' };
  assert.throws(() => parseManifest(bytes({ schemaVersion: 2, config: chart, layers: [] })), {
    message: /helm/,
  });
  assert.throws(() => parseManifest(bytes({ schemaVersion: 1, fsLayers: [] })), { message: /schema 1/ });
});

test('the best platform is chosen: exact, else the newest older variant', () => {
  const entry = (architecture: string, variant?: string): Descriptor => ({
    mediaType: '',
    digest: `${architecture}${variant}`,
    size: 1,
    platform: { os: 'linux', architecture, ...(variant && { variant }) },
  });
  const choose = (architecture: string, variant: string | undefined, offered: Descriptor[]) =>
    choosePlatform(offered, { os: 'linux', architecture, ...(variant && { variant }) }, 'x').digest;
  assert.equal(choose('arm', 'v7', [entry('arm', 'v5'), entry('arm', 'v6'), entry('arm', 'v8')]), 'armv6');
  assert.equal(choose('arm64', 'v8', [entry('amd64'), entry('arm64')]), 'arm64undefined');
  assert.equal(choose('amd64', undefined, [entry('amd64', 'v3'), entry('amd64')]), 'amd64undefined');
  assert.throws(() => choose('amd64', undefined, [entry('amd64', 'v3')]), {
    code: 'no-matching-platform',
    message: /linux\/amd64\/v3/,
  });
  assert.throws(() => choose('amd64', undefined, []), { code: 'no-matching-platform', message: /no images/ });
  assert.equal(platformScore(hostPlatform('x64'), { os: 'windows', architecture: 'amd64' }), 0);
});

test('configurations keep what is well-formed and drop the rest', () => {
  const parsed = parseConfig(
    bytes({
      os: 'linux',
      architecture: 'amd64',
      rootfs: { diff_ids: [digest] },
      config: { User: 'a', Env: ['A=b', 3], Cmd: null, Labels: { a: 'b', c: 1 }, Volumes: { '/v': {} } },
    }),
  );
  assert.deepEqual(parsed.config, { User: 'a', Env: ['A=b'], Volumes: { '/v': {} }, Labels: { a: 'b' } });
  assert.deepEqual(parsed.diffIds, [digest]);
});

test('no JSON crashes the parsers', () => {
  const value = fc.oneof(
    fc.json(),
    fc
      .record(
        {
          schemaVersion: fc.anything(),
          mediaType: fc.anything(),
          config: fc.anything(),
          layers: fc.anything(),
          manifests: fc.anything(),
          rootfs: fc.anything(),
        },
        { requiredKeys: [] },
      )
      .map((v) => JSON.stringify(v, (_, x) => (typeof x === 'bigint' ? String(x) : x)) ?? ''),
  );
  fc.assert(
    fc.property(value, (text) => {
      for (const parse of [parseManifest, parseConfig]) {
        try {
          parse(Buffer.from(text));
        } catch (error) {
          assert.ok(
            error instanceof ImageError && isCode(error, 'invalid-manifest', 'unsupported-media-type'),
            String(error),
          );
        }
      }
    }),
    { numRuns: 1000 },
  );
});
