import { ImageError } from './errors.ts';

/** An image reference, taken apart and completed. */
export interface Reference {
  /** Host with port, as in the name: `docker.io`, `127.0.0.1:5000`, `[::1]:5000`. */
  registry: string;
  /** `library/busybox`. */
  repository: string;
  tag?: string;
  /** `sha256:…`. */
  digest?: string;
}

const component = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const digestPattern = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
const hostPattern =
  /^(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*\.?)(?::[0-9]{1,5})?$/;

/**
 * Parses `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`. Names without a host belong to docker.io, there without a slash to
 * `library/`; without tag and digest the tag is `latest`.
 * @throws ImageError invalid-reference
 */
export function parseReference(text: string): Reference {
  const [beforeDigest, digest, ...more] = text.split('@');
  if (more.length > 0) throw invalid(text, 'more than one "@"');
  if (digest !== undefined && !digestPattern.test(digest)) {
    throw invalid(text, 'the part after "@" must be a digest like sha256:<64 lower-case hex digits>');
  }
  const colon = beforeDigest!.lastIndexOf(':');
  const hasTag = colon > beforeDigest!.lastIndexOf('/');
  const name = hasTag ? beforeDigest!.slice(0, colon) : beforeDigest!;
  const tag = hasTag ? beforeDigest!.slice(colon + 1) : undefined;
  if (tag !== undefined && !tagPattern.test(tag)) {
    throw invalid(text, `tag ${JSON.stringify(tag)} must be up to 128 letters, digits, "_", "." and "-"`);
  }
  const { registry, repository } = splitName(name);
  if (!hostPattern.test(registry)) throw invalid(text, `${JSON.stringify(registry)} is not a registry host`);
  for (const part of repository.split('/')) {
    if (!component.test(part)) throw invalid(text, componentProblem(part));
  }
  if (registry.length + repository.length > 255)
    throw invalid(text, 'the name is longer than 255 characters');
  return {
    registry,
    repository,
    ...(tag !== undefined && { tag }),
    ...(digest !== undefined && { digest }),
    ...(tag === undefined && digest === undefined && { tag: 'latest' }),
  };
}

/** The reference as text, in its canonical form. */
export function formatReference({ registry, repository, tag, digest }: Reference): string {
  return `${registry}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

/** The name under which an image is kept, undefined for what is no reference. With a digest, the tag does not count. */
export function canonicalName(text: string): string | undefined {
  try {
    const { registry, repository, tag, digest } = parseReference(text);
    return formatReference(
      digest === undefined ? { registry, repository, tag: tag! } : { registry, repository, digest },
    );
  } catch {
    return undefined;
  }
}

/** True for hosts that name this machine: `localhost`, 127.0.0.0/8, `[::1]`, with any port. Plain HTTP is used for these. */
export function isLoopbackHost(host: string): boolean {
  const name = host.replace(/:[0-9]+$/, '').toLowerCase();
  return name === 'localhost' || name === '[::1]' || name === '::1' || /^127(?:\.[0-9]{1,3}){3}$/.test(name);
}

function splitName(name: string): { registry: string; repository: string } {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase();
  let registry = isHost ? first : 'docker.io';
  let repository = isHost ? name.slice(slash + 1) : name;
  if (registry === 'index.docker.io') registry = 'docker.io';
  if (registry === 'docker.io' && !repository.includes('/')) repository = `library/${repository}`;
  return { registry, repository };
}

function componentProblem(part: string): string {
  if (part === '') return 'the name has an empty part';
  if (part !== part.toLowerCase()) return `${JSON.stringify(part)} must be lower case`;
  return `${JSON.stringify(part)} must be letters and digits with single ".", "_", "__" or "-" between`;
}

function invalid(text: string, cause: string): ImageError {
  return new ImageError('invalid-reference', `parse image reference ${JSON.stringify(text)}: ${cause}`);
}
