import { ImageError } from '../errors.ts';
import { isDigest } from '../manifest.ts';
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
const artifactType = 'application/vnd.dev.cosign.artifact.sig.v1+json';
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
  for (const entry of referrersIn(referrers)) {
    const isBundle = bundleType.test(entry.artifactType);
    if (!isBundle && entry.artifactType !== artifactType) continue;
    const manifest = await orNothing(() => source.getManifest(entry.digest, signal));
    if (manifest === undefined) continue;
    if (isBundle) await collectBundles(source, { manifest, found }, signal);
    else await collect(source, { manifest, found }, signal);
  }
  return found;
}

/** Reads the layers of a signature manifest: each is a payload, its signature stands in an annotation. */
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
    const text = (annotations as Record<string, unknown> | undefined)?.[signatureAnnotation];
    if (mediaType !== payloadType || typeof digest !== 'string' || !isDigest(digest)) {
      found.passedOver.push(
        `a layer of type ${JSON.stringify(mediaType)} in ${manifest.digest} is no signature`,
      );
    } else if (typeof text !== 'string') {
      found.passedOver.push(`${digest} has no annotation ${signatureAnnotation}`);
    } else {
      const payload = await orNothing(() => source.getSmallBlob({ digest }, signal));
      if (payload === undefined) found.passedOver.push(`payload ${digest} is missing`);
      else {
        const signature = Buffer.from(text, 'base64');
        found.signatures.push({ form: 'simple signing', payload, signed: payload, signature });
      }
    }
  }
}

/** Reads the layers of a manifest that holds bundles. */
async function collectBundles(
  source: SignatureSource,
  { manifest, found }: { manifest: FetchedManifest; found: FoundSignatures },
  signal: AbortSignal,
): Promise<void> {
  for (const layer of listIn(manifest.bytes, 'layers').slice(0, maxSignatures)) {
    const { digest } = layer as Record<string, unknown>;
    if (typeof digest !== 'string' || !isDigest(digest)) continue;
    const bytes = await orNothing(() => source.getSmallBlob({ digest }, signal));
    const read = bytes === undefined ? 'it is missing' : readBundle(bytes);
    if (typeof read === 'string') found.passedOver.push(`bundle ${digest} does not count: ${read}`);
    else if (found.signatures.length < maxSignatures) found.signatures.push(...read);
  }
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

function referrersIn(bytes: Buffer | undefined): { digest: string; artifactType: string }[] {
  if (bytes === undefined) return [];
  return listIn(bytes, 'manifests').flatMap((entry) => {
    const { digest, artifactType: type } = entry as Record<string, unknown>;
    return typeof digest === 'string' && isDigest(digest) && typeof type === 'string'
      ? [{ digest, artifactType: type }]
      : [];
  });
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
