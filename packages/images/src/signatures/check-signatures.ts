import { ImageError } from '../errors.ts';
import type { LoadSource } from '../image.ts';
import type { Descriptor } from '../manifest.ts';
import { formatReference, type Reference } from '../reference.ts';
import { type FoundSignatures, fetchSignatures, type SignatureSource } from './cosign-signatures.ts';
import { type Requirement, readSignaturePolicy } from './policy.ts';
import { requirementsForImage, requirementsForPath } from './policy-scope.ts';
import { isSignedBy, loadPublicKey, type PublicKey } from './public-key.ts';
import { claimOf } from './signed-claim.ts';
import { identityProblem } from './signed-identity.ts';
import type { CosignSignature } from './sigstore-bundle.ts';

type SignedRequirement = Extract<Requirement, { type: 'sigstoreSigned' }>;

export interface ImageToCheck {
  /** As it was asked for. */
  reference: Reference;
  /** The index, if any, and the manifest. Each names the next by its digest, so a signature of any of them covers the image. */
  documents: readonly Pick<Descriptor, 'digest'>[];
  source: SignatureSource;
}

/**
 * Checks an image against the policy of a file, before anything of it is unpacked.
 * @throws ImageError signature-refused; invalid-registry-config for a bad policy or key; what fetching signatures throws
 */
export async function checkSignatures(
  policyFile: string,
  { reference: asked, documents, source }: ImageToCheck,
  signal: AbortSignal,
): Promise<void> {
  const { tag, ...byDigest } = asked;
  // With both, the digest says which image it is.
  const reference = asked.digest === undefined ? asked : byDigest;
  const { requirements, where } = requirementsForImage(readSignaturePolicy(policyFile), reference);
  const refused = (cause: string) =>
    new ImageError(
      'signature-refused',
      `check signature of ${formatReference(reference)}: ${cause} (${policyFile}, ${where})`,
    );
  const found = new Map<string, FoundSignatures>();
  for (const requirement of requirements) {
    if (requirement.type !== 'sigstoreSigned') {
      const problem = plainProblem(requirement);
      if (problem !== undefined) throw refused(problem);
      continue;
    }
    const keys = requirement.keys.map(loadPublicKey);
    const problems: string[] = [];
    let isSigned = false;
    for (const { digest } of documents) {
      let signatures = found.get(digest);
      if (signatures === undefined) {
        signatures = await fetchSignatures(source, digest, signal);
        found.set(digest, signatures);
      }
      const more = signatures.signatures.map((signature) =>
        signatureProblem(signature, { keys, digest, reference, requirement }),
      );
      isSigned = more.includes(undefined);
      if (isSigned) break;
      problems.push(...signatures.passedOver, ...more.filter((problem) => problem !== undefined));
    }
    if (!isSigned)
      throw refused(problems.length === 0 ? 'it is not signed' : [...new Set(problems)].join('; '));
  }
}

const transports = {
  'oci-layout': 'oci',
  'oci-archive': 'oci-archive',
  'docker-archive': 'docker-archive',
  containerd: 'containerd',
  'containers-storage': 'containers-storage',
} as const satisfies Record<KnownKind, string>;

/** What is known to be a layout, an archive of one form, or another runtime's store. */
type KnownKind = Exclude<LoadSource['kind'], 'archive'>;

/** Checks a file or directory to load images from. @throws ImageError signature-refused, invalid-registry-config */
export function checkLoadSource(policyFile: string, { kind, path }: { kind: KnownKind; path: string }): void {
  const policy = readSignaturePolicy(policyFile);
  const { requirements, where } = requirementsForPath(policy, transports[kind], path);
  for (const requirement of requirements) {
    const problem =
      requirement.type === 'sigstoreSigned'
        ? 'signatures of images in files are not supported'
        : plainProblem(requirement);
    if (problem === undefined) continue;
    const text = `check signature of ${kind} ${JSON.stringify(path)}: ${problem} (${policyFile}, ${where})`;
    throw new ImageError('signature-refused', text);
  }
}

function plainProblem(requirement: Exclude<Requirement, SignedRequirement>): string | undefined {
  switch (requirement.type) {
    case 'insecureAcceptAnything':
      return undefined;
    case 'reject':
      return 'the policy rejects it';
    case 'unsupported':
      return `the policy asks for ${requirement.what}, which is not supported`;
  }
}

/** What is wrong with one signature for one requirement; undefined when it is good. */
function signatureProblem(
  signature: CosignSignature,
  {
    keys,
    digest,
    reference,
    requirement,
  }: { keys: PublicKey[]; digest: string; reference: Reference; requirement: SignedRequirement },
): string | undefined {
  // Nothing of the payload is looked at before this.
  if (!keys.some((key) => isSignedBy(key, signature.signed, signature.signature)))
    return `a signature is not by ${keys.map(({ name }) => name).join(' or ')}`;
  const claim = claimOf(signature);
  if (typeof claim === 'string') return claim;
  if (!claim.digests.includes(digest))
    return `a signature is for ${claim.digests.join(', ')}, not for ${digest}`;
  const problem = identityProblem(requirement.signedIdentity, reference, claim.dockerReference);
  return problem === undefined ? undefined : `a signature does not count: ${problem}`;
}
