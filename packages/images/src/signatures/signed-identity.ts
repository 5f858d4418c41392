import { formatReference, parseReference, type Reference } from '../reference.ts';
import { objectOf, type Wrong } from './policy-value.ts';

/** Which name a signature must carry for an image (containers-policy.json(5), `signedIdentity`). */
export type SignedIdentity =
  | { type: 'matchExact' | 'matchRepoDigestOrExact' | 'matchRepository' }
  /** Ours: whatever the name, or none; the digest is what counts. */
  | { type: 'matchDigest' }
  | { type: 'exactReference'; dockerReference: string }
  | { type: 'exactRepository'; dockerRepository: string }
  | { type: 'remapIdentity'; prefix: string; signedPrefix: string };

const identityKeys: Record<SignedIdentity['type'], string[]> = {
  matchExact: [],
  matchRepoDigestOrExact: [],
  matchRepository: [],
  matchDigest: [],
  exactReference: ['dockerReference'],
  exactRepository: ['dockerRepository'],
  remapIdentity: ['prefix', 'signedPrefix'],
};

/** @throws ImageError for what is no identity */
export function parseIdentity(value: unknown, where: string, wrong: Wrong): SignedIdentity {
  if (value === undefined) return { type: 'matchRepoDigestOrExact' };
  const table = objectOf(value, { where, wrong });
  const type = String(table.type);
  if (!Object.hasOwn(identityKeys, type))
    throw wrong(`${where}.type`, table.type, `must be one of ${Object.keys(identityKeys).join(', ')}`);
  const keys = identityKeys[type as SignedIdentity['type']];
  objectOf(value, { where, known: ['type', ...keys], wrong });
  for (const key of keys) {
    const text = table[key];
    if (typeof text !== 'string' || text === '') throw wrong(`${where}.${key}`, text, 'must be a name');
    const isFine =
      key === 'dockerReference'
        ? nameOf(text)?.isWhole === true
        : key !== 'dockerRepository' || isRepository(text);
    if (!isFine)
      throw wrong(
        `${where}.${key}`,
        text,
        `must be a full name ${key === 'dockerReference' ? 'with' : 'without'} tag or digest`,
      );
  }
  return { ...table, type } as SignedIdentity;
}

/**
 * Why the name in a signature is not good for an image, undefined when it is.
 * @param image with a tag or a digest, not both
 * @param signed the signature's `docker-reference`, if it has one
 */
export function identityProblem(
  identity: SignedIdentity,
  image: Reference,
  signed: string | undefined,
): string | undefined {
  if (identity.type === 'matchDigest') return undefined;
  if (signed === undefined)
    return 'it has no name, as cosign 3 makes them: "signedIdentity": {"type": "matchDigest"} accepts it';
  const name = nameOf(signed);
  if (name === undefined) return `it is for ${JSON.stringify(signed)}, which is not an image name`;
  const shown = `it is for ${JSON.stringify(signed)}`;
  switch (identity.type) {
    case 'matchRepository':
      return name.repository === repositoryOf(image)
        ? undefined
        : `${shown}, not for repository ${repositoryOf(image)}`;
    case 'exactRepository': {
      const wanted = nameOf(identity.dockerRepository)!.repository;
      return name.repository === wanted ? undefined : `${shown}, not for repository ${wanted}`;
    }
    case 'exactReference': {
      const wanted = nameOf(identity.dockerReference)!.text;
      return name.isWhole && name.text === wanted ? undefined : `${shown}, not for ${wanted}`;
    }
    case 'matchExact':
      return wholeProblem(name, image, { byDigest: false });
    case 'matchRepoDigestOrExact':
      return wholeProblem(name, image, { byDigest: true });
    case 'remapIdentity':
      return wholeProblem(name, remapped(image, identity), { byDigest: true });
  }
}

interface Name {
  /** `HOST/PATH`. */
  repository: string;
  text: string;
  /** It has a tag or a digest. */
  isWhole: boolean;
}

function wholeProblem(name: Name, image: Reference, { byDigest }: { byDigest: boolean }): string | undefined {
  const repository = repositoryOf(image);
  if (!name.isWhole) {
    const advice =
      name.repository === repository ? ': "signedIdentity": {"type": "matchRepository"} accepts it' : '';
    return `it is for repository ${JSON.stringify(name.text)} without a tag, as cosign makes them${advice}`;
  }
  if (byDigest && image.digest !== undefined)
    return name.repository === repository
      ? undefined
      : `it is for ${JSON.stringify(name.text)}, not for repository ${repository}`;
  return name.text === formatReference(image)
    ? undefined
    : `it is for ${JSON.stringify(name.text)}, not for ${formatReference(image)}`;
}

/** Where a mirror's name begins with `prefix`, signatures carry the name that begins with `signedPrefix`. */
function remapped(
  image: Reference,
  { prefix, signedPrefix }: { prefix: string; signedPrefix: string },
): Reference {
  const repository = repositoryOf(image);
  if (repository !== prefix && !repository.startsWith(`${prefix}/`)) return image;
  const signed = `${signedPrefix}${repository.slice(prefix.length)}`;
  const slash = signed.indexOf('/');
  return {
    ...image,
    registry: slash < 0 ? signed : signed.slice(0, slash),
    repository: slash < 0 ? '' : signed.slice(slash + 1),
  };
}

function repositoryOf({ registry, repository }: Reference): string {
  return `${registry}/${repository}`;
}

function isRepository(text: string): boolean {
  return nameOf(text)?.isWhole === false;
}

function nameOf(text: string): Name | undefined {
  const isWhole = /[:@]/.test(text.slice(text.lastIndexOf('/') + 1));
  try {
    const reference = parseReference(text);
    return {
      repository: repositoryOf(reference),
      text: isWhole ? formatReference(reference) : repositoryOf(reference),
      isWhole,
    };
  } catch {
    return undefined;
  }
}
