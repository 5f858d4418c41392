import type { RegistryAuth } from '../image.ts';
import { credentialsFromFile } from './auth-file.ts';
import { askCredentialHelper } from './credential-helper.ts';
import { type Credentials, credentialsFor, credentialsOf, hostOf, noCredentials } from './credentials.ts';
import type { RegistryHost } from './registry-hosts.ts';

export interface CredentialsQuestion {
  host: RegistryHost;
  /** As it stands in the image's name. */
  registry: string;
  repository: string;
  /** Not the registry in the image's name, but one that stands in for it. */
  isMirror: boolean;
  /** Of the pull request. */
  auth?: RegistryAuth | undefined;
  authFile?: string | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * The credentials for one host: those of the pull request, else those in its hosts.toml, else those in the auth file.
 * What is meant for the registry is never shown to a mirror.
 * @throws ImageError invalid-registry-config, unauthorized
 */
export async function findCredentials(question: CredentialsQuestion): Promise<Credentials> {
  const { host, registry, repository, isMirror, auth, authFile, signal } = question;
  const server = hostOf(host.url);
  // Where a hosts.toml moves a registry to another address, people know it by either.
  const names = isMirror ? [server] : [...new Set([hostOf(registry), server])];
  for (const name of names) {
    const given = credentialsFor(name, auth, { isMirror });
    if (given.kind !== 'none') return given;
  }
  const own = host.credentials;
  if (own !== undefined)
    return 'helper' in own
      ? askCredentialHelper(own.helper, server, { signal })
      : credentialsOf(own, `credentials for ${server}`);
  if (authFile === undefined) return noCredentials;
  for (const name of names) {
    const found = await credentialsFromFile(authFile, { server: name, repository, signal });
    if (found.kind !== 'none') return found;
  }
  return noCredentials;
}
