import type { CosignSignature } from './sigstore-bundle.ts';

/** What a signature says of an image. */
export interface SignedClaim {
  /** Of the manifests that are signed, `sha256:…`. */
  digests: string[];
  /** The image's name; bundles have none. */
  dockerReference: string | undefined;
}

const simpleSigningType = 'cosign container image signature';
/** Other statements by the same key (a provenance, an SBOM) approve of nothing. */
const signPredicate = 'https://sigstore.dev/cosign/sign/v1';

/** @returns why it is no signature of an image, when it is none */
export function claimOf({ form, payload }: CosignSignature): SignedClaim | string {
  try {
    const json = JSON.parse(payload.toString('utf8'));
    return form === 'bundle' ? statementClaim(json) : simpleSigningClaim(json);
  } catch {
    return 'a signed payload cannot be understood';
  }
}

/** The simple signing format (containers' docs, "atomic-signature"). */
function simpleSigningClaim({
  critical,
}: {
  critical: { type: unknown; image: Record<string, unknown>; identity: Record<string, unknown> };
}): SignedClaim | string {
  const digest = critical.image['docker-manifest-digest'];
  const dockerReference = critical.identity['docker-reference'];
  if (critical.type !== simpleSigningType)
    return `a signed payload is not of the type "${simpleSigningType}"`;
  return typeof digest === 'string' && typeof dockerReference === 'string'
    ? { digests: [digest], dockerReference }
    : 'a signed payload has no digest or no name';
}

/** An in-toto statement (in-toto attestation framework, Statement v1). */
function statementClaim({
  predicateType,
  subject,
}: {
  predicateType: unknown;
  subject: { digest: { sha256?: unknown } }[];
}): SignedClaim | string {
  if (predicateType !== signPredicate)
    return `a signed statement is of type ${JSON.stringify(predicateType)}, which is no signature`;
  return { digests: subject.map(({ digest }) => `sha256:${digest.sha256}`), dockerReference: undefined };
}
