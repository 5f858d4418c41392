import { isDigest } from '../digest.ts';
import { ImageError } from '../errors.ts';
import type { FetchedManifest } from '../registry/registry-client.ts';
import { type CosignSignature, readBundle } from './sigstore-bundle.ts';

/** Where signatures are fetched from: a repository at its registry and its mirrors. */
export interface SignatureSource {
  /** @throws ImageError not-found, … */
  getManifest(reference: string, signal: AbortSignal): Promise<FetchedManifest>;
  getSmallBlob(descriptor: { digest: string }, signal: AbortSignal): Promise<Buffer>;
  getReferrers(digest: string, signal: AbortSignal): Promise<Buffer>;
}

export interface FoundSignatures {
  signatures: CosignSignature[];
  /** What was found and cannot be used, for messages. */
  passedOver: string[];
}

const payloadType = 'application/vnd.dev.cosign.simplesigning.v1+json';
/** What lists of referrers at a tag say of a bundle (go-containerregistry takes the type of its empty configuration). */
const emptyType = 'application/vnd.oci.empty.v1+json';
const signatureTypes = ['application/vnd.dev.cosign.artifact.sig.v1+json', emptyType];
const bundleType = /^application\/vnd\.dev\.sigstore\.bundle(?:\.v0\.[0-9]+)?\+json/;
const signatureAnnotation = 'dev.cosignproject.cosign/signature';
const maxSignatures = 100;

/**
 * The signatures that cosign has put beside a manifest: at the tag `sha256-HEX.sig` (cosign's SIGNATURE_SPEC.md), and among
 * its OCI 1.1 referrers, there also as sigstore bundles (cosign 3). @throws ImageError registry-unavailable, unauthorized, …
 */
export async function fetchSignatures(
  source: SignatureSource,
  digest: string,
  signal: AbortSignal,
): Promise<FoundSignatures> {
  const found: FoundSignatures = { signatures: [], passedOver: [] };
  const tag = digest.replace(':', '-');
  const atTag = await orNothing(() => source.getManifest(`${tag}.sig`, signal));
  if (atTag !== undefined) await collect(source, { manifest: atTag, found }, signal);
  // Registries without the API have the list at a tag (distribution-spec, "Unavailable Referrers API").
  const referrers =
    (await orNothing(() => source.getReferrers(digest, signal))) ??
    (await orNothing(() => source.getManifest(tag, signal)))?.bytes;
  for (const digestOfReferrer of referrersIn(referrers)) {
    const manifest = await orNothing(() => source.getManifest(digestOfReferrer, signal));
    if (manifest !== undefined) await collect(source, { manifest, found }, signal);
  }
  return found;
}

/** Reads the layers of a manifest that holds signatures, in either form. */
async function collect(
  source: SignatureSource,
  { manifest, found }: { manifest: FetchedManifest; found: FoundSignatures },
  signal: AbortSignal,
): Promise<void> {
  for (const layer of listIn(manifest.bytes, 'layers')) {
    if (found.signatures.length >= maxSignatures) {
      found.passedOver.push(`there are more than ${maxSignatures} signatures`);
      return;
    }
    const { mediaType, digest, annotations } = layer as Record<string, unknown>;
    const type = typeof mediaType === 'string' ? mediaType : '';
    if (typeof digest !== 'string' || !isDigest(digest) || !(type === payloadType || bundleType.test(type))) {
      found.passedOver.push(
        `a layer of type ${JSON.stringify(mediaType)} in ${manifest.digest} is no signature`,
      );
      continue;
    }
    const bytes = await orNothing(() => source.getSmallBlob({ digest }, signal));
    const read = bytes === undefined ? 'it is missing' : readLayer(bytes, type, annotations);
    if (typeof read === 'string') found.passedOver.push(`signature ${digest} does not count: ${read}`);
    else found.signatures.push(...read.slice(0, maxSignatures));
  }
}

function readLayer(bytes: Buffer, type: string, annotations: unknown): CosignSignature[] | string {
  if (type !== payloadType) return readBundle(bytes);
  const text = (annotations as Record<string, unknown> | undefined)?.[signatureAnnotation];
  if (typeof text !== 'string') return `it has no annotation ${signatureAnnotation}`;
  return [{ form: 'simple signing', payload: bytes, signed: bytes, signature: Buffer.from(text, 'base64') }];
}

/** What is not there, or cannot be asked for (a registry without the referrers API), is no signature. */
async function orNothing<T>(get: () => Promise<T>): Promise<T | undefined> {
  try {
    return await get();
  } catch (error) {
    if (error instanceof ImageError && (error.code === 'not-found' || error.code === 'registry-error'))
      return undefined;
    throw error;
  }
}

/** Digests of the referrers that may hold signatures. */
function referrersIn(bytes: Buffer | undefined): string[] {
  if (bytes === undefined) return [];
  const digests = listIn(bytes, 'manifests').flatMap((entry) => {
    const { digest, artifactType: type = emptyType } = entry as Record<string, unknown>;
    const isOurs = typeof type === 'string' && (signatureTypes.includes(type) || bundleType.test(type));
    return isOurs && typeof digest === 'string' && isDigest(digest) ? [digest] : [];
  });
  return digests.slice(0, maxSignatures);
}

/** The objects in a list of a JSON document; none when it is not what it should be. */
function listIn(bytes: Buffer, key: string): object[] {
  try {
    const list = (JSON.parse(bytes.toString('utf8')) as Record<string, unknown> | null)?.[key];
    return Array.isArray(list) ? list.filter((item) => typeof item === 'object' && item !== null) : [];
  } catch {
    return [];
  }
}
