import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { useServer } from './support/fixture.ts';
import { run } from './support/program.ts';
import { grpcCode, refuses } from './support/refuses.ts';
import { freePort, type Registry, startRegistry } from './support/registry.ts';
import { buildBusyboxImage, type TestImage } from './support/test-images.ts';

describe('images that are wrong get the documented error and leave nothing', () => {
  const fixture = useServer('amphipod');
  let registry: Registry;
  let other: TestImage;
  before(async () => {
    registry = await startRegistry(`${fixture.dir}/registry`);
    other = buildBusyboxImage(`${fixture.dir}/other`, {
      name: 'localhost/other:v1',
      extra: [{ path: 'other', data: 'x' }],
    });
  });
  after(() => registry[Symbol.asyncDispose]());
  const pull = (image: string, timeoutMs = 60_000) =>
    fixture.cri.pullImage({ image: { image } }, { timeoutMs });
  /** Asserts the error, and that the list of images is as before. */
  const refusesPull = async (image: string, code: number, text: RegExp) => {
    const images = (await fixture.cri.listImages()).images;
    await refuses(pull(image), code, text);
    assert.deepEqual((await fixture.cri.listImages()).images, images);
  };

  for (const reference of ['', 'x/UPPER', 'a b', 'x:bad:tag', 'x@sha256:12', `x:${'t'.repeat(129)}`]) {
    test(`invalid reference ${JSON.stringify(reference.slice(0, 20))}`, async () => {
      await refusesPull(reference, grpcCode.INVALID_ARGUMENT, /reference|image\.image: missing/);
    });
  }

  test('an unknown repository, tag and digest', async () => {
    const reference = await registry.push(other, 'test/known:v1');
    await refusesPull(`${registry.host}/no/such:v1`, grpcCode.NOT_FOUND, /no\/such/);
    await refusesPull(`${registry.host}/test/known:v2`, grpcCode.NOT_FOUND, /v2/);
    await refusesPull(
      `${registry.host}/test/known@sha256:${'0'.repeat(64)}`,
      grpcCode.NOT_FOUND,
      /sha256:0000/,
    );
    assert.equal((await pull(reference)).imageRef, other.id);
    await fixture.cri.removeImage({ image: { image: reference } });
  });

  test('a registry that is not there', async () => {
    await refusesPull(`127.0.0.1:${await freePort()}/x/y:v1`, grpcCode.UNKNOWN, /^RegistryUnavailable/);
  });

  test('an image with no matching platform, from the registry and from an archive', async () => {
    const platform = { os: 'linux', architecture: 's390x' };
    const foreign = buildBusyboxImage(`${fixture.dir}/foreign`, { name: 'localhost/foreign:v1', platform });
    const reference = await registry.push(foreign, 'test/foreign:v1');
    const text = /linux\/s390x/;
    await refusesPull(reference, grpcCode.FAILED_PRECONDITION, text);
    await refusesPull(`oci-archive:${await archiveOf(foreign)}`, grpcCode.FAILED_PRECONDITION, text);
  });

  test('a layer whose bytes do not have their digest', async () => {
    const image = buildBusyboxImage(`${fixture.dir}/bent`, {
      name: 'localhost/bent:v1',
      extra: [{ path: 'bent', data: 'y' }],
    });
    const reference = await registry.push(image, 'test/bent:v1');
    const digest = layerDigest(image);
    const hex = digest.slice(7);
    const blob = `${fixture.dir}/registry/data/docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`;
    const bytes = readFileSync(blob);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(blob, bytes);
    await refusesPull(reference, grpcCode.FAILED_PRECONDITION, new RegExp(digest));
    const layout = `${image.dir}/blobs/sha256/${hex}`;
    writeFileSync(layout, bytes);
    await refusesPull(
      `oci-archive:${await archiveOf(image)}`,
      grpcCode.FAILED_PRECONDITION,
      new RegExp(digest),
    );
    // The next pull of good bytes works: nothing bad was kept.
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(blob, bytes);
    assert.equal((await pull(reference)).imageRef, image.id);
    await fixture.cri.removeImage({ image: { image: reference } });
  });

  test('truncated archives of both kinds', async () => {
    const oci = await archiveOf(other);
    truncateSync(oci, readFileSync(oci).length >> 1);
    await refusesPull(
      `oci-archive:${oci}`,
      grpcCode.INVALID_ARGUMENT,
      /\.tar.*: .*ends (too early|in or after)/,
    );
    const docker = `${fixture.dir}/docker.tar`;
    await run([
      ...['skopeo', '--insecure-policy', 'copy', '--quiet'],
      `oci:${other.dir}:${other.name}`,
      `docker-archive:${docker}:${other.name}`,
    ]);
    const whole = readFileSync(docker);
    truncateSync(docker, whole.length >> 1);
    await refusesPull(
      `docker-archive:${docker}`,
      grpcCode.INVALID_ARGUMENT,
      /\.tar.*: .*ends (too early|in or after)/,
    );
    writeFileSync(docker, whole);
    const { imageRef } = await pull(`docker-archive:${docker}`);
    await fixture.cri.removeImage({ image: { image: imageRef } });
  });

  test('files that are no archive, or not there', async () => {
    const file = `${fixture.dir}/not-an-archive`;
    writeFileSync(file, 'just some text, longer than a tar header would be\n'.repeat(100));
    await refusesPull(`oci-archive:${file}`, grpcCode.INVALID_ARGUMENT, /not-an-archive/);
    await refusesPull(`oci-archive:${fixture.dir}/missing.tar`, grpcCode.NOT_FOUND, /missing\.tar/);
    mkdirSync(`${fixture.dir}/empty-dir`);
    await refusesPull(`oci:${fixture.dir}/empty-dir`, grpcCode.FAILED_PRECONDITION, /empty-dir.*index\.json/);
  });

  test('an impatient client: cancelled, and the next pull works', async () => {
    const reference = await registry.push(other, 'test/cancel:v1');
    await assert.rejects(pull(reference, 1), { code: grpcCode.DEADLINE_EXCEEDED });
    assert.equal((await pull(reference)).imageRef, other.id);
    await fixture.cri.removeImage({ image: { image: reference } });
  });

  async function archiveOf(image: TestImage): Promise<string> {
    const archive = `${image.dir}.tar`;
    await run(['tar', '-C', image.dir, '-cf', archive, '.']);
    return archive;
  }
});

function layerDigest({ dir, manifestDigest }: TestImage): string {
  const manifest = JSON.parse(readFileSync(`${dir}/blobs/${manifestDigest.replace(':', '/')}`, 'utf8'));
  return manifest.layers[0].digest as string;
}
