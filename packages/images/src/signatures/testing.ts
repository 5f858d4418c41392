import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import type { TestContext } from 'node:test';
import { sha256Digest } from '../digest.ts';
import { ImageError } from '../errors.ts';
import type { SignatureSource } from './cosign-signatures.ts';
import { preAuthenticationEncoding } from './sigstore-bundle.ts';

/** What {@link FakeSource} signs unless told otherwise. */
export const manifest = sha256Digest('the manifest');

export interface SignatureSpec {
  key: KeyObject;
  hash?: string | null;
  digest?: string;
  name?: string;
  type?: string;
  /** Without the annotation that has the signature. */
  isBare?: boolean;
}

export interface BundleSpec {
  key: KeyObject;
  digest?: string;
  predicateType?: string;
}

/** A registry that has signatures for some digests, at cosign's tags or as referrers. */
export class FakeSource implements SignatureSource {
  readonly asked: string[] = [];
  readonly #manifests = new Map<string, Buffer>();
  readonly #blobs = new Map<string, Buffer>();
  readonly #referrers = new Map<string, object[]>();

  sign(specs: SignatureSpec[], { subject = manifest, asReferrer = false } = {}): this {
    const layers = specs.map(
      ({ key, hash = 'sha256', digest = subject, name = 'reg.example/team/app', type, isBare }) => {
        const payload = Buffer.from(
          JSON.stringify({
            critical: {
              identity: { 'docker-reference': name },
              image: { 'docker-manifest-digest': digest },
              type: type ?? 'cosign container image signature',
            },
            optional: null,
          }),
        );
        this.#blobs.set(sha256Digest(payload), payload);
        const signature = sign(hash, payload, key).toString('base64');
        return {
          mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
          digest: sha256Digest(payload),
          size: payload.length,
          ...(!isBare && { annotations: { 'dev.cosignproject.cosign/signature': signature } }),
        };
      },
    );
    return this.put({ schemaVersion: 2, layers }, { subject, asReferrer });
  }

  /** Signs as cosign 3 does: in-toto statements in bundles, as referrers. */
  signBundle(
    { key, digest = manifest, predicateType = 'https://sigstore.dev/cosign/sign/v1' }: BundleSpec,
    { subject = manifest } = {},
  ): this {
    const payload = Buffer.from(
      JSON.stringify({
        _type: 'https://in-toto.io/Statement/v1',
        subject: [{ digest: { sha256: digest.slice('sha256:'.length) } }],
        predicateType,
        predicate: {},
      }),
    );
    const payloadType = 'application/vnd.in-toto+json';
    const sig = sign('sha256', preAuthenticationEncoding(payloadType, payload), key).toString('base64');
    const mediaType = 'application/vnd.dev.sigstore.bundle.v0.3+json';
    const envelope = { payload: payload.toString('base64'), payloadType, signatures: [{ sig }] };
    return this.putBundle({ mediaType, verificationMaterial: {}, dsseEnvelope: envelope }, { subject });
  }

  putBundle(bundle: object, { subject = manifest } = {}): this {
    const bytes = Buffer.from(JSON.stringify(bundle));
    this.#blobs.set(sha256Digest(bytes), bytes);
    const mediaType = 'application/vnd.dev.sigstore.bundle.v0.3+json';
    const document = Buffer.from(JSON.stringify({ layers: [{ mediaType, digest: sha256Digest(bytes) }] }));
    this.#manifests.set(sha256Digest(document), document);
    return this.refer(sha256Digest(document), mediaType, subject);
  }

  put(document: object, { subject = manifest, asReferrer = false } = {}): this {
    const bytes = Buffer.from(JSON.stringify(document));
    this.#manifests.set(asReferrer ? sha256Digest(bytes) : `${subject.replace(':', '-')}.sig`, bytes);
    if (asReferrer)
      this.refer(sha256Digest(bytes), 'application/vnd.dev.cosign.artifact.sig.v1+json', subject);
    return this;
  }

  refer(digest: string, artifactType: string, subject = manifest): this {
    this.#referrers.set(subject, [...(this.#referrers.get(subject) ?? []), { digest, artifactType }]);
    return this;
  }

  /** As registries of before OCI 1.1: the list stands at a tag. */
  withoutReferrersApi(): this {
    for (const [subject, manifests] of this.#referrers)
      this.#manifests.set(
        subject.replace(':', '-'),
        Buffer.from(JSON.stringify({ manifests: manifests.map(typeOfConfig) })),
      );
    this.#referrers.clear();
    return this;
  }

  async getManifest(reference: string) {
    const bytes = this.#find(this.#manifests, reference);
    return { bytes, digest: sha256Digest(bytes), contentType: undefined };
  }

  async getSmallBlob({ digest }: { digest: string }) {
    return this.#find(this.#blobs, digest);
  }

  async getReferrers(digest: string) {
    const manifests = this.#find(this.#referrers, digest);
    return Buffer.from(JSON.stringify({ schemaVersion: 2, manifests }));
  }

  #find<T>(map: Map<string, T>, key: string): T {
    this.asked.push(key);
    const found = map.get(key);
    if (found === undefined) throw new ImageError('not-found', `${key}: not found`);
    return found;
  }
}

/** How go-containerregistry, and with it cosign, lists a bundle at a tag. */
function typeOfConfig(entry: object): object {
  const isBundle = JSON.stringify(entry).includes('sigstore.bundle');
  return isBundle ? { ...entry, artifactType: 'application/vnd.oci.empty.v1+json' } : entry;
}

/** A new key pair, with the public one in a file. */
export function keyPair(t: TestContext, kind: 'P-256' | 'P-384' | 'P-521' | 'rsa' | 'ed25519' = 'P-256') {
  const { publicKey, privateKey } =
    kind === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : kind === 'ed25519'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('ec', { namedCurve: kind });
  const pem = publicKey.export({ type: 'spki', format: 'pem' }) as string;
  const dir = mkdtempSync(`${tmpdir()}/amphipod-key-`);
  t.after(() => rmSync(dir, { recursive: true }));
  writeFileSync(`${dir}/cosign.pub`, pem);
  return { privateKey, pem, dir, path: `${dir}/cosign.pub` };
}
