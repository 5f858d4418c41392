import { posix } from 'node:path';
import { formatReference, type Reference } from '../reference.ts';
import type { Requirement, SignaturePolicy } from './policy.ts';

/** The requirements that count for something, and where they stand. */
export interface FoundRequirements {
  requirements: Requirement[];
  /** For messages: `docker "quay.io/team"`. */
  where: string;
}

/** The most specific entry for an image in a registry (containers-policy.json(5), "docker:"). */
export function requirementsForImage(policy: SignaturePolicy, image: Reference): FoundRequirements {
  return find(policy, 'docker', imageScopes(image));
}

/** The most specific entry for an image in a file or directory. */
export function requirementsForPath(
  policy: SignaturePolicy,
  transport: 'oci' | 'oci-archive' | 'docker-archive' | 'containerd' | 'containers-storage',
  path: string,
): FoundRequirements {
  const scopes: string[] = [];
  for (let at = posix.resolve(path); at !== '/'; at = posix.dirname(at)) scopes.push(at);
  return find(policy, transport, scopes);
}

/** From the image itself over its repository, namespaces and host to wildcards for domains. */
export function imageScopes(image: Reference): string[] {
  const { registry, repository } = image;
  const scopes = [formatReference(image)];
  const parts = [registry, ...repository.split('/')];
  for (let length = parts.length; length > 0; length--) scopes.push(parts.slice(0, length).join('/'));
  const labels = registry.replace(/:[0-9]+$/, '').split('.');
  for (let from = 1; from < labels.length; from++) scopes.push(`*.${labels.slice(from).join('.')}`);
  return scopes;
}

function find(policy: SignaturePolicy, transport: string, scopes: string[]): FoundRequirements {
  const entries = Object.hasOwn(policy.transports, transport) ? policy.transports[transport]! : {};
  for (const scope of [...scopes, '']) {
    if (Object.hasOwn(entries, scope))
      return { requirements: entries[scope]!, where: `${transport} ${JSON.stringify(scope)}` };
  }
  return { requirements: policy.default, where: 'default' };
}
