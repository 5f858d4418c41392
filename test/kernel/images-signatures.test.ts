import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { build, push, startRegistry } from './images-docker-registry.ts';
import { assertEmpty } from './images-faults-setup.ts';
import { openStore, scratch } from './images-support.ts';

// Signatures as cosign puts them beside an image, in Debian's docker-registry. Made here: cosign is no Debian package.

const sha256 = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const indexType = 'application/vnd.oci.image.index.v1+json';
const manifestType = 'application/vnd.oci.image.manifest.v1+json';

interface Layer {
  digest: string;
  mediaType: string;
}

async function putBlob(repository: string, bytes: Buffer, mediaType: string) {
  const upload = await fetch(`${repository}/blobs/uploads/`, { method: 'POST' });
  const url = new URL(upload.headers.get('location')!, repository);
  url.searchParams.set('digest', sha256(bytes));
  const headers = { 'Content-Type': 'application/octet-stream' };
  const put = await fetch(url, { method: 'PUT', headers, body: new Uint8Array(bytes) });
  assert.equal(put.status, 201, await put.text());
  return { mediaType, digest: sha256(bytes), size: bytes.length };
}

async function putManifest(repository: string, tag: string, document: { mediaType: string }) {
  const bytes = Buffer.from(JSON.stringify(document));
  const headers = { 'Content-Type': document.mediaType };
  const put = await fetch(`${repository}/manifests/${tag}`, { method: 'PUT', headers, body: bytes });
  assert.equal(put.status, 201, await put.text());
  return { mediaType: document.mediaType, digest: sha256(bytes), size: bytes.length };
}

/** Signs a manifest as cosign does: a payload that names it, in a manifest of its own at the tag `sha256-HEX.sig`. */
async function signImage(
  { host, name }: { host: string; name: string },
  { digest, key, claimed = digest }: { digest: string; key: KeyObject; claimed?: string },
): Promise<void> {
  const repository = `http://${host}/v2/${name}`;
  const payload = Buffer.from(
    JSON.stringify({
      critical: {
        identity: { 'docker-reference': `${host}/${name}` },
        image: { 'docker-manifest-digest': claimed },
        type: 'cosign container image signature',
      },
      optional: null,
    }),
  );
  const layer = await putBlob(repository, payload, 'application/vnd.dev.cosign.simplesigning.v1+json');
  const annotations = {
    'dev.cosignproject.cosign/signature': sign('sha256', payload, key).toString('base64'),
  };
  const config = await putBlob(repository, Buffer.from('{}'), 'application/vnd.oci.image.config.v1+json');
  await putManifest(repository, `${digest.replace(':', '-')}.sig`, {
    schemaVersion: 2,
    mediaType: manifestType,
    config,
    layers: [{ ...layer, annotations }],
  } as { mediaType: string });
}

function keyPair(dir: string, name: string) {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const path = `${dir}/${name}.pub`;
  writeFileSync(path, publicKey.export({ type: 'spki', format: 'pem' }));
  return { privateKey, path };
}

/** A registry with an image, a policy that wants it signed, and an empty store with that policy. */
async function setUp(t: TestContext) {
  const host = await startRegistry(t);
  const { layout, id, manifestDigest } = build(t);
  await push(layout, `${host}/app:1`);
  const dir = scratch(t);
  const key = keyPair(dir, 'cosign');
  const policyFile = `${dir}/policy.json`;
  const policy = (requirements: object[]) =>
    writeFileSync(
      policyFile,
      JSON.stringify({ default: [{ type: 'reject' }], transports: { docker: { [host]: requirements } } }),
    );
  const signed = { type: 'sigstoreSigned', keyPath: key.path, signedIdentity: { type: 'matchRepository' } };
  policy([signed]);
  const store = await openStore(t, { signaturePolicy: policyFile });
  return { host, layout, id, manifestDigest, dir, key, policyFile, policy, signed, store };
}

test('an image is pulled when it is signed by the key of the policy, and else nothing of it stays', async (t) => {
  const { host, id, manifestDigest, dir, key, policyFile, policy, signed, store } = await setUp(t);
  const image = { host, name: 'app' };
  const refused = async (cause: string) => {
    await assert.rejects(store.pull(`${host}/app:1`), {
      code: 'signature-refused',
      message: `check signature of ${host}/app:1: ${cause} (${policyFile}, docker "${host}")`,
    });
    assertEmpty(store);
  };
  await refused('it is not signed');
  const stranger = keyPair(dir, 'stranger');
  await signImage(image, { digest: manifestDigest, key: stranger.privateKey });
  await refused(`a signature is not by ${key.path}`);
  const other = `sha256:${'0'.repeat(64)}`;
  await signImage(image, { digest: manifestDigest, key: key.privateKey, claimed: other });
  await refused(`a signature is for ${other}, not for ${manifestDigest}`);
  await signImage(image, { digest: manifestDigest, key: key.privateKey });
  assert.equal((await store.pull(`${host}/app:1`)).id, id);
  await store.remove(id);
  assert.equal((await store.pull(`${host}/app@${manifestDigest}`)).id, id);
  await store.remove(id);
  policy([signed, { type: 'reject' }]);
  await refused('the policy rejects it');
  policy([{ type: 'insecureAcceptAnything' }]);
  assert.equal((await store.pull(`${host}/app:1`)).id, id, 'the policy is read for each pull');
});

test('a signature of the index covers the image in it, one of the image is good too', async (t) => {
  const { host, layout, id, manifestDigest, key, store } = await setUp(t);
  const [entry] = JSON.parse(readFileSync(`${layout}/index.json`, 'utf8')).manifests;
  const repository = `http://${host}/v2/app`;
  const put = (tag: string) =>
    putManifest(repository, tag, {
      schemaVersion: 2,
      mediaType: indexType,
      manifests: [{ ...entry, annotations: { tag } }],
    } as { mediaType: string });
  const index = await put('multi');
  await assert.rejects(store.pull(`${host}/app:multi`), { code: 'signature-refused' });
  await signImage({ host, name: 'app' }, { digest: index.digest, key: key.privateKey });
  const image = await store.pull(`${host}/app:multi`);
  assert.deepEqual([image.id, image.repoDigests], [id, [`${host}/app@${index.digest}`]]);
  await store.remove(id);
  await assert.rejects(store.pull(`${host}/app:1`), { code: 'signature-refused' });
  await signImage({ host, name: 'app' }, { digest: manifestDigest, key: key.privateKey });
  await put('second');
  assert.equal((await store.pull(`${host}/app:second`)).id, id);
});

test('a signature is that of its repository', async (t) => {
  const { host, layout, id, manifestDigest, key, policy, signed, store } = await setUp(t);
  await push(layout, `${host}/copy:1`);
  await signImage({ host, name: 'app' }, { digest: manifestDigest, key: key.privateKey });
  // The signature is copied along with the image, as mirroring tools do.
  const original = await fetch(`http://${host}/v2/app/manifests/${manifestDigest.replace(':', '-')}.sig`, {
    headers: { Accept: manifestType },
  });
  const manifest = (await original.json()) as Record<'config', Layer> & {
    mediaType: string;
    layers: Layer[];
  };
  for (const { digest, mediaType } of [manifest.config, ...manifest.layers]) {
    const blob = await fetch(`http://${host}/v2/app/blobs/${digest}`);
    await putBlob(`http://${host}/v2/copy`, Buffer.from(await blob.arrayBuffer()), mediaType);
  }
  await putManifest(`http://${host}/v2/copy`, `${manifestDigest.replace(':', '-')}.sig`, manifest);
  await assert.rejects(store.pull(`${host}/copy:1`), {
    code: 'signature-refused',
    message: new RegExp(`it is for "${host}/app", not for repository ${host}/copy`),
  });
  const identity = { type: 'exactRepository', dockerRepository: `${host}/app` };
  policy([{ ...signed, signedIdentity: identity }]);
  assert.equal((await store.pull(`${host}/copy:1`)).id, id);
});

test('the policy counts for images in files, and a bad one keeps the store from opening', async (t) => {
  const { layout, policyFile, store } = await setUp(t);
  const source = { kind: 'oci-layout', path: layout, reference: 'localhost/a:1' } as const;
  await assert.rejects(store.load(source), {
    code: 'signature-refused',
    message: /check signature of oci-layout .*: the policy rejects it/,
  });
  assertEmpty(store);
  writeFileSync(policyFile, '{"default": [{"type": "accept"}]}');
  await assert.rejects(openStore(t, { signaturePolicy: policyFile }), {
    code: 'invalid-registry-config',
    message: new RegExp(`^read ${policyFile}: default\\[0\\]\\.type = "accept": must be `),
  });
});
