import { ImageError } from '../errors.ts';
import type { RegistryAuth } from '../image.ts';
import { isObject } from '../is-object.ts';
import { readConfigFile } from './config-file.ts';
import { askCredentialHelper } from './credential-helper.ts';
import { type Credentials, credentialsOf, hostOf, noCredentials } from './credentials.ts';

/** What an auth file holds, as docker's `config.json` and containers' `auth.json` have it. */
export interface AuthFile {
  /** By server, in docker's or containers' words: `https://index.docker.io/v1/`, `quay.io`, `quay.io/team/app`. */
  auths: Record<string, RegistryAuth>;
  /** Credential helper for everything. */
  credsStore?: string;
  /** Credential helper by host. */
  credHelpers: Record<string, string>;
}

export interface AuthQuestion {
  /** Host with port of the server that asks. */
  server: string;
  /** Path of the repository there: containers' auth.json may name one. */
  repository: string;
  signal?: AbortSignal | undefined;
}

/**
 * Credentials of an auth file for one repository at one server. The host's own helper comes first, then the file's store, then the
 * entry that names most of the path. The file is read each time, so that a new login needs no restart.
 * @throws ImageError invalid-registry-config naming file and key, unauthorized
 */
export async function credentialsFromFile(
  file: string,
  { server, repository, signal }: AuthQuestion,
): Promise<Credentials> {
  const { auths, credsStore, credHelpers } = parseAuthFile(readConfigFile(file), file);
  const helper = entryFor(credHelpers, server);
  for (const name of [helper, credsStore]) {
    if (name === undefined) continue;
    const found = await askHelper(name, { server, signal }, file);
    if (found.kind !== 'none') return found;
  }
  const parts = repository.split('/');
  for (let length = parts.length; length >= 0; length--) {
    const scope = [server, ...parts.slice(0, length)].join('/');
    const auth = length === 0 ? entryFor(auths, server) : ownEntry(auths, scope);
    if (auth === undefined) continue;
    const found = credentialsOf(auth, `read ${file}: auths[${JSON.stringify(scope)}].auth`);
    if (found.kind !== 'none') return found;
  }
  return noCredentials;
}

/** @param file for messages @throws ImageError invalid-registry-config */
export function parseAuthFile(text: string, file: string): AuthFile {
  const wrong = (cause: string) => new ImageError('invalid-registry-config', `read ${file}: ${cause}`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // Without the parser's words: they show a piece of the text, which may be of a password.
    throw wrong('not JSON');
  }
  if (!isObject(json)) throw wrong('not a JSON object');
  // Docker keeps settings of many other kinds in the same file.
  const { auths = {}, credsStore, credHelpers = {} } = json;
  if (!isObject(auths)) throw wrong('auths must be an object');
  if (!isObject(credHelpers)) throw wrong('credHelpers must be an object');
  for (const [host, name] of Object.entries(credHelpers))
    if (typeof name !== 'string')
      throw wrong(`credHelpers[${JSON.stringify(host)}] must be the name of a helper`);
  if (credsStore !== undefined && typeof credsStore !== 'string')
    throw wrong('credsStore must be the name of a helper');
  const entries = Object.entries(auths).map(([server, entry]): [string, RegistryAuth] => {
    if (!isObject(entry)) throw wrong(`auths[${JSON.stringify(server)}] must be an object`);
    return [
      server,
      authOf(entry, (key) => wrong(`auths[${JSON.stringify(server)}].${key} must be a string`)),
    ];
  });
  return {
    auths: Object.fromEntries(entries),
    credHelpers: credHelpers as Record<string, string>,
    ...(credsStore && { credsStore }),
  };
}

function authOf(entry: Record<string, unknown>, wrong: (key: string) => ImageError): RegistryAuth {
  const auth: RegistryAuth = {};
  for (const [key, field] of [
    ['username', 'username'],
    ['password', 'password'],
    ['auth', 'auth'],
    ['identitytoken', 'identityToken'],
    ['registrytoken', 'registryToken'],
  ] as const) {
    const value = entry[key];
    if (value === undefined || value === null) continue;
    if (typeof value !== 'string') throw wrong(key);
    if (value !== '') auth[field] = value;
  }
  return auth;
}

async function askHelper(
  name: string,
  { server, signal }: Pick<AuthQuestion, 'server' | 'signal'>,
  file: string,
): Promise<Credentials> {
  // `docker login` stores Docker Hub under its old address, containers' tools under its name.
  const servers = server === 'docker.io' ? ['https://index.docker.io/v1/', server] : [server];
  try {
    for (const asked of servers) {
      const found = await askCredentialHelper(name, asked, { signal });
      if (found.kind !== 'none') return found;
    }
    return noCredentials;
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    throw new ImageError(error.code, `read ${file}: ${error.message}`, { cause: error });
  }
}

/** The entry for a host, under whichever spelling. One that names a path below the host is for that path only. */
function entryFor<T>(entries: Record<string, T>, server: string): T | undefined {
  const exact = ownEntry(entries, server);
  if (exact !== undefined) return exact;
  const key = Object.keys(entries).find((name) => isWholeHost(name) && hostOf(name) === server);
  return key === undefined ? undefined : entries[key];
}

/** A host alone, or a URL: docker's keys carry the API's path (`/v1/`), which says nothing. */
function isWholeHost(name: string): boolean {
  return name.includes('://') || !name.replace(/\/$/, '').includes('/') || /^[^/]+\/v[12]\/?$/.test(name);
}

function ownEntry<T>(entries: Record<string, T>, key: string): T | undefined {
  return Object.hasOwn(entries, key) ? entries[key] : undefined;
}
