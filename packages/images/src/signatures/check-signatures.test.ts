import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { sha256Digest } from '../digest.ts';
import { ImageError } from '../errors.ts';
import { parseReference } from '../reference.ts';
import { checkLoadSource, checkSignatures } from './check-signatures.ts';
import type { SignatureSource } from './cosign-signatures.ts';
import { FakeSource, keyPair, manifest } from './testing.ts';

const never = new AbortController().signal;
const index = sha256Digest('the index');
const image = 'reg.example/team/app:1';

const matchRepository = { signedIdentity: { type: 'matchRepository' } };

async function check(
  dir: string,
  requirements: object[],
  source: SignatureSource,
  { name = image, documents = [manifest] }: { name?: string; documents?: string[] } = {},
): Promise<void> {
  const file = `${dir}/policy.json`;
  writeFileSync(
    file,
    JSON.stringify({
      default: [{ type: 'reject' }],
      transports: { docker: { 'reg.example': requirements } },
    }),
  );
  const reference = parseReference(name);
  await checkSignatures(
    file,
    { reference, documents: documents.map((digest) => ({ digest })), source },
    never,
  );
}

for (const [kind, hashes] of [
  ['P-256', ['sha256']],
  ['P-384', ['sha256', 'sha384']],
  ['P-521', ['sha256', 'sha512']],
  ['rsa', ['sha256']],
  ['ed25519', [null]],
] as const) {
  test(`a ${kind} key: its signatures count, others' do not`, async (t) => {
    const { privateKey, path, dir } = keyPair(t, kind);
    const other = keyPair(t, kind);
    const requirement = { type: 'sigstoreSigned', keyPath: path, ...matchRepository };
    for (const hash of hashes)
      await check(dir, [requirement], new FakeSource().sign([{ key: privateKey, hash }]));
    const foreign = new FakeSource().sign([{ key: other.privateKey, hash: hashes[0] }]);
    await assert.rejects(check(dir, [requirement], foreign), {
      code: 'signature-refused',
      message: `check signature of ${image}: a signature is not by ${path} (${dir}/policy.json, docker "reg.example")`,
    });
  });
}

test('without a signature, and with such as do not count, the error says what was found', async (t) => {
  const { privateKey, path, dir } = keyPair(t);
  const requirement = { type: 'sigstoreSigned', keyPath: path, ...matchRepository };
  const cases: [source: FakeSource, message: RegExp][] = [
    [new FakeSource(), /: it is not signed \(/],
    [
      new FakeSource().sign([{ key: privateKey, digest: index }]),
      new RegExp(`a signature is for ${index}, not for ${manifest}`),
    ],
    [
      new FakeSource().sign([{ key: privateKey, name: 'reg.example/other' }]),
      /does not count: it is for "reg\.example\/other", not for repository reg\.example\/team\/app/,
    ],
    [
      new FakeSource().sign([{ key: privateKey, type: 'attestation' }]),
      /is not of the type "cosign container/,
    ],
    [
      new FakeSource().put({ layers: [{ mediaType: 'text/plain', digest: manifest }] }),
      /a layer of type "text\/plain" in sha256:[0-9a-f]+ is no signature/,
    ],
    [
      new FakeSource().sign([{ key: privateKey, isBare: true }]),
      /does not count: it has no annotation dev\.cosignproject\.cosign\/signature/,
    ],
    [
      new FakeSource().put({
        layers: [
          {
            mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
            digest: index,
            annotations: { 'dev.cosignproject.cosign/signature': 'AAAA' },
          },
        ],
      }),
      new RegExp(`signature ${index} does not count: it is missing`),
    ],
    [new FakeSource().put([]), /: it is not signed \(/],
  ];
  for (const [source, message] of cases)
    await assert.rejects(check(dir, [requirement], source), { code: 'signature-refused', message });
});

test('one good signature among others is enough; as referrer and for the index too', async (t) => {
  const { privateKey, path, dir } = keyPair(t);
  const other = keyPair(t);
  const requirement = { type: 'sigstoreSigned', keyPath: path, ...matchRepository };
  await check(dir, [requirement], new FakeSource().sign([{ key: other.privateKey }, { key: privateKey }]));
  await check(dir, [requirement], new FakeSource().sign([{ key: privateKey }], { asReferrer: true }));
  const listed = new FakeSource().sign([{ key: privateKey }], { asReferrer: true }).withoutReferrersApi();
  await check(dir, [requirement], listed);
  const ofIndex = new FakeSource().sign([{ key: privateKey }], { subject: index });
  await check(dir, [requirement], ofIndex, { documents: [index, manifest] });
  await check(dir, [requirement], new FakeSource().sign([{ key: privateKey }]), {
    documents: [index, manifest],
  });
  await assert.rejects(check(dir, [requirement], ofIndex), { code: 'signature-refused' });
});

test('several keys: any; several requirements: all of them', async (t) => {
  const [one, two, three] = [keyPair(t), keyPair(t), keyPair(t)];
  const signed = (more: object) => ({ type: 'sigstoreSigned', ...matchRepository, ...more });
  const byTwo = new FakeSource().sign([{ key: two.privateKey }]);
  await check(one.dir, [signed({ keyPaths: [one.path, two.path] })], byTwo);
  const datas = [one.pem, two.pem].map((pem) => Buffer.from(pem).toString('base64'));
  await check(one.dir, [signed({ keyDatas: datas })], byTwo);
  const both = new FakeSource().sign([{ key: one.privateKey }, { key: two.privateKey }]);
  const requirements = [signed({ keyPath: one.path }), signed({ keyPath: two.path })];
  await check(one.dir, requirements, both);
  const asked = both.asked.filter((reference) => reference.endsWith('.sig'));
  assert.equal(asked.length, 1, 'signatures are fetched once');
  await assert.rejects(check(one.dir, requirements, byTwo), { code: 'signature-refused' });
  await assert.rejects(check(one.dir, [...requirements, signed({ keyPath: three.path })], both), {
    message: new RegExp(`a signature is not by ${three.path}`),
  });
});

test("cosign's names need matchRepository, and the error says so; with a tag in the signature the tag counts", async (t) => {
  const { privateKey, path, dir } = keyPair(t);
  const requirement = { type: 'sigstoreSigned', keyPath: path };
  const bare = new FakeSource().sign([{ key: privateKey }]);
  await assert.rejects(check(dir, [requirement], bare), {
    code: 'signature-refused',
    message:
      /without a tag, as cosign makes them: "signedIdentity": \{"type": "matchRepository"\} accepts it/,
  });
  const tagged = new FakeSource().sign([{ key: privateKey, name: image }]);
  await check(dir, [requirement], tagged);
  await check(dir, [requirement], tagged, { name: `reg.example/team/app@${manifest}` });
  await check(dir, [requirement], tagged, { name: `reg.example/team/app:9@${manifest}` });
  await assert.rejects(check(dir, [requirement], tagged, { name: 'reg.example/team/app:2' }), {
    message: /it is for "reg\.example\/team\/app:1", not for reg\.example\/team\/app:2/,
  });
});

test('bundles of cosign 3 count by digest, where the policy takes signatures without a name', async (t) => {
  const { privateKey: key, path, dir } = keyPair(t);
  const requirement = { type: 'sigstoreSigned', keyPath: path, signedIdentity: { type: 'matchDigest' } };
  await check(dir, [requirement], new FakeSource().signBundle({ key }));
  await check(dir, [requirement], new FakeSource().signBundle({ key }).withoutReferrersApi());
  await check(dir, [requirement], new FakeSource().sign([{ key, name: 'anything' }]));
  const other = keyPair(t).privateKey;
  const provenance = 'https://slsa.dev/provenance/v1';
  const envelope = {
    payload: 'e30=',
    payloadType: 'application/vnd.in-toto+json',
    signatures: [{ sig: 'AAAA' }],
  };
  const cases: [source: FakeSource, message: RegExp][] = [
    [new FakeSource().signBundle({ key: other }), /a signature is not by /],
    [new FakeSource().signBundle({ key, digest: index }), new RegExp(`is for ${index}, not for ${manifest}`)],
    [
      new FakeSource().signBundle({ key, predicateType: provenance }),
      /a signed statement is of type "https:\/\/slsa\.dev\/provenance\/v1", which is no signature/,
    ],
    [new FakeSource().putBundle({ dsseEnvelope: envelope }), /a signature is not by /],
    [
      new FakeSource().putBundle({ dsseEnvelope: { ...envelope, payloadType: 'x' } }),
      /payload is of type "x"/,
    ],
    [new FakeSource().putBundle({ dsseEnvelope: { ...envelope, payload: 1 } }), /its envelope is incomplete/],
    [new FakeSource().putBundle({ messageSignature: {} }), /it holds no DSSE envelope/],
  ];
  for (const [source, message] of cases)
    await assert.rejects(check(dir, [requirement], source), { code: 'signature-refused', message });
  const named = { ...requirement, ...matchRepository };
  await assert.rejects(check(dir, [named], new FakeSource().signBundle({ key })), {
    code: 'signature-refused',
    message: /it has no name, as cosign 3 makes them: "signedIdentity": \{"type": "matchDigest"\} accepts it/,
  });
});

test('what asks for no signature asks the registry for none; reject and unsupported kinds refuse by name', async (t) => {
  const { dir } = keyPair(t);
  const source = new FakeSource();
  await check(dir, [{ type: 'insecureAcceptAnything' }], source);
  assert.deepEqual(source.asked, []);
  await assert.rejects(check(dir, [{ type: 'reject' }], source), { message: /: the policy rejects it \(/ });
  await assert.rejects(check(dir, [{ type: 'insecureAcceptAnything' }], source, { name: 'quay.io/x' }), {
    code: 'signature-refused',
    message: /the policy rejects it \(.*, default\)/,
  });
  await assert.rejects(check(dir, [{ type: 'signedBy', keyType: 'GPGKeys', keyPath: '/x' }], source), {
    code: 'signature-refused',
    message: /the policy asks for signedBy \(signatures by GPG keys\), which is not supported/,
  });
});

test('keys that cannot be used are named', async (t) => {
  const { privateKey, dir } = keyPair(t);
  const key = (name: string, text: string) => {
    writeFileSync(`${dir}/${name}`, text);
    return [{ type: 'sigstoreSigned', keyPath: `${dir}/${name}` }];
  };
  const source = new FakeSource();
  const refuses = (requirements: object[], message: RegExp) =>
    assert.rejects(check(dir, requirements, source), { code: 'invalid-registry-config', message });
  await refuses([{ type: 'sigstoreSigned', keyPath: '/nowhere.pub' }], /read \/nowhere\.pub: ENOENT/);
  await refuses(key('text', 'hello'), /read public key .*\/text: /);
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  await refuses(key('private', pem), /it is a private key/);
  const x25519 = generateKeyPairSync('x25519').publicKey.export({ type: 'spki', format: 'pem' }) as string;
  await refuses(key('x', x25519), /keys of type x25519 are not supported/);
});

test('a registry that fails is not taken for one without signatures', async (t) => {
  const { path, dir } = keyPair(t);
  const source = new FakeSource();
  source.getManifest = async () => {
    throw new ImageError('registry-unavailable', 'get tag: 503');
  };
  const requirement = { type: 'sigstoreSigned', keyPath: path, ...matchRepository };
  await assert.rejects(check(dir, [requirement], source), { code: 'registry-unavailable' });
});

test('images in files: the policy of their transport, by path', (t) => {
  const { dir, path } = keyPair(t);
  const file = `${dir}/policy.json`;
  const transports = {
    'oci-archive': { '/srv/good': [{ type: 'insecureAcceptAnything' }] },
    oci: { '': [{ type: 'sigstoreSigned', keyPath: path }] },
  };
  writeFileSync(file, JSON.stringify({ default: [{ type: 'reject' }], transports }));
  checkLoadSource(file, { kind: 'oci-archive', path: '/srv/good/a.tar' });
  assert.throws(() => checkLoadSource(file, { kind: 'oci-archive', path: '/srv/bad/a.tar' }), {
    code: 'signature-refused',
    message: /check signature of oci-archive "\/srv\/bad\/a\.tar": the policy rejects it \(.*, default\)/,
  });
  assert.throws(() => checkLoadSource(file, { kind: 'docker-archive', path: '/srv/good/a.tar' }), {
    code: 'signature-refused',
  });
  assert.throws(() => checkLoadSource(file, { kind: 'oci-layout', path: '/srv/good' }), {
    message: /signatures of images in files are not supported/,
  });
});
