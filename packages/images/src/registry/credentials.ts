import { ImageError } from '../errors.ts';
import type { RegistryAuth } from '../image.ts';

/** What there is to show to a registry. */
export type Credentials =
  | { kind: 'none' }
  | { kind: 'basic'; username: string; password: string }
  /** A refresh token: exchanged for bearer tokens. */
  | { kind: 'identity'; token: string }
  /** A bearer token, sent as it is. */
  | { kind: 'bearer'; token: string };

export const noCredentials: Credentials = { kind: 'none' };

/**
 * The credentials of an AuthConfig that are meant for `server` (host with port). Without a server address they are for the
 * registry in the image's name alone, and not for its mirrors.
 * @throws ImageError unauthorized when `auth` cannot be read
 */
export function credentialsFor(
  server: string,
  auth: RegistryAuth | undefined,
  { isMirror = false } = {},
): Credentials {
  if (auth === undefined || (auth.serverAddress ? !isSameHost(server, auth.serverAddress) : isMirror))
    return noCredentials;
  return credentialsOf(auth, `log in to ${server}: the credentials' "auth"`);
}

/** The strongest of what an AuthConfig holds. @param what names the place of `auth` for messages @throws ImageError unauthorized */
export function credentialsOf(auth: RegistryAuth, what: string): Credentials {
  if (auth.registryToken) return { kind: 'bearer', token: auth.registryToken };
  if (auth.identityToken) return { kind: 'identity', token: auth.identityToken };
  if (auth.username) return { kind: 'basic', username: auth.username, password: auth.password ?? '' };
  if (!auth.auth) return noCredentials;
  // Docker pads the text with NULs.
  const text = Buffer.from(auth.auth, 'base64').toString('utf8').replace(/\0+$/, '');
  const colon = text.indexOf(':');
  if (colon < 1) throw new ImageError('unauthorized', `${what} is not base64 of "username:password"`);
  return { kind: 'basic', username: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** True when two ways to write a server mean the same one: `https://index.docker.io/v1/` and `docker.io`. */
export function isSameHost(one: string, other: string): boolean {
  return hostOf(one) === hostOf(other);
}

/** The host with port of an address with or without scheme and path. */
export function hostOf(address: string): string {
  const host = address
    .replace(/^[a-z]+:\/\//i, '')
    .split('/')[0]!
    .toLowerCase();
  return /^(?:index\.|registry-1\.)?docker\.io$/.test(host) ? 'docker.io' : host;
}
