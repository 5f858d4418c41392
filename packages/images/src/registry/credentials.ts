import type { RegistryAuth } from '../image.ts';

/** What there is to show to a registry. */
export type Credentials =
  | { kind: 'none' }
  | { kind: 'basic'; username: string; password: string }
  | { kind: 'identity'; token: string }
  | { kind: 'bearer'; token: string };

/** The credentials of an AuthConfig that are meant for `registry` (host with port). */
export function credentialsFor(registry: string, auth: RegistryAuth | undefined): Credentials {
  if (auth === undefined || !isMeantFor(registry, auth.serverAddress)) return { kind: 'none' };
  if (auth.registryToken) return { kind: 'bearer', token: auth.registryToken };
  if (auth.identityToken) return { kind: 'identity', token: auth.identityToken };
  if (auth.username) return { kind: 'basic', username: auth.username, password: auth.password ?? '' };
  if (auth.auth) {
    // Docker pads the text with NULs.
    const text = Buffer.from(auth.auth, 'base64').toString('utf8').replace(/\0+$/, '');
    const colon = text.indexOf(':');
    if (colon > 0) return { kind: 'basic', username: text.slice(0, colon), password: text.slice(colon + 1) };
  }
  return { kind: 'none' };
}

function isMeantFor(registry: string, serverAddress: string | undefined): boolean {
  if (serverAddress === undefined || serverAddress === '') return true;
  const host = serverAddress.replace(/^[a-z]+:\/\//, '').split('/')[0]!;
  return normal(host) === normal(registry);
}

function normal(host: string): string {
  return /^(?:index\.|registry-1\.)?docker\.io$/.test(host) ? 'docker.io' : host.toLowerCase();
}
