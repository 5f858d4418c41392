import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { FabricError } from '../errors.ts';
import type { KubernetesConfig, KubernetesCredentials } from './config.ts';

type Fields = Readonly<Record<string, unknown>>;

/** A mapping of the file, with where it stands for errors: `users["admin"].user`. */
interface Section {
  file: string;
  path: string;
  fields: Fields;
}

/** What would change who we are or how we get there, and is not there yet. */
const unsupportedUserKeys = ['exec', 'auth-provider', 'username', 'password', 'as', 'as-user-extra'];
const unsupportedClusterKeys = ['proxy-url'];

/**
 * Reads a kubeconfig file: the server and the user of its current context. Names of files in it begin at its own directory.
 * @throws FabricError `invalid-config`, naming file, key and value
 */
export function readKubeconfig(file: string): KubernetesConfig {
  const root: Section = { file, path: '', fields: readYaml(file) };
  const contextName = text(root, 'current-context');
  if (contextName === undefined) throw refusal(root, 'current-context', 'missing');
  const context = entry(root, 'context', { named: contextName, by: 'current-context' });
  const clusterName = text(context, 'cluster');
  if (clusterName === undefined) throw refusal(context, 'cluster', 'missing');
  const cluster = entry(root, 'cluster', { named: clusterName, by: keyPath(context, 'cluster') });
  const userName = text(context, 'user');
  const user =
    userName === undefined
      ? { file, path: 'user', fields: {} }
      : entry(root, 'user', { named: userName, by: keyPath(context, 'user') });
  refuseUnsupported(cluster, unsupportedClusterKeys);
  refuseUnsupported(user, unsupportedUserKeys);
  const skipTlsVerify = cluster.fields['insecure-skip-tls-verify'] ?? false;
  if (typeof skipTlsVerify !== 'boolean') {
    throw refusal(cluster, 'insecure-skip-tls-verify', 'must be true or false');
  }
  const tlsServerName = text(cluster, 'tls-server-name');
  const config: KubernetesConfig = {
    server: readServer(cluster),
    skipTlsVerify,
    ...(tlsServerName !== undefined && { tlsServerName }),
    credentials: () => readCredentials(cluster, user),
  };
  config.credentials();
  return config;
}

function readYaml(file: string): Fields {
  let document: unknown;
  try {
    document = parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    // After its first line the parser shows a part of the file, which may be a secret.
    const [why] = (cause as Error).message.split('\n');
    const text = `read kubeconfig ${JSON.stringify(file)}: ${why}`;
    throw new FabricError('invalid-config', text, { cause });
  }
  if (isFields(document)) return document;
  throw new FabricError('invalid-config', `read kubeconfig ${JSON.stringify(file)}: not a YAML mapping`);
}

/** `clusters[].cluster` and the like: the entry with the name that another key gives. */
function entry(root: Section, kind: string, { named, by }: { named: string; by: string }): Section {
  const list = root.fields[`${kind}s`] ?? [];
  if (!Array.isArray(list)) throw refusal(root, `${kind}s`, 'must be a list');
  const found = list.filter(isFields).find(({ name }) => name === named);
  if (found === undefined)
    throw refusal(root, `${kind}s`, `none has the name ${JSON.stringify(named)} of ${by}`);
  const fields = found[kind] ?? {};
  const path = `${kind}s[${JSON.stringify(named)}].${kind}`;
  if (!isFields(fields)) throw refusal(root, path, 'must be a mapping');
  return { file: root.file, path, fields };
}

function readServer(cluster: Section): URL {
  const server = text(cluster, 'server');
  const url = server === undefined ? undefined : URL.parse(server);
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return url;
  throw refusal(cluster, 'server', server === undefined ? 'missing' : 'must be https://HOST:PORT');
}

function readCredentials(cluster: Section, user: Section): KubernetesCredentials {
  const ca = readMaterial(cluster, 'certificate-authority');
  const cert = readMaterial(user, 'client-certificate');
  const key = readMaterial(user, 'client-key');
  if ((cert === undefined) !== (key === undefined)) {
    const missing = cert === undefined ? 'client-certificate' : 'client-key';
    throw refusal(user, missing, 'certificate and key must be given together');
  }
  const tokenFile = text(user, 'tokenFile');
  const token = tokenFile === undefined ? text(user, 'token') : readFile(user, 'tokenFile', tokenFile).trim();
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(token !== undefined && { token }),
  };
}

/** What stands in the file itself, in base64 under `KEY-data`, or in the file that `KEY` names. */
function readMaterial(section: Section, key: string): string | undefined {
  const data = text(section, `${key}-data`);
  if (data !== undefined) return Buffer.from(data, 'base64').toString();
  const path = text(section, key);
  return path === undefined ? undefined : readFile(section, key, path);
}

function readFile(section: Section, key: string, path: string): string {
  try {
    return readFileSync(resolve(dirname(section.file), path), 'utf8');
  } catch (error) {
    throw refusal(section, key, (error as Error).message, error);
  }
}

function text(section: Section, key: string): string | undefined {
  const value = section.fields[key];
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value !== 'string') throw refusal(section, key, 'must be a string');
  return value;
}

function refuseUnsupported(section: Section, keys: readonly string[]): void {
  for (const key of keys) {
    const value = section.fields[key];
    if (value !== undefined && value !== null && value !== '') {
      throw refusal(section, key, 'not supported; use a token, a token file or a client certificate');
    }
  }
}

/** Values of secrets are not repeated: only that of a key that holds none. */
function refusal(section: Section, key: string, why: string, cause?: unknown): FabricError {
  const value = section.fields[key];
  const isSecret = /token|data|key|password/.test(key);
  const shown =
    value === undefined || isSecret || typeof value === 'object' ? '' : ` ${JSON.stringify(value)}:`;
  const message = `read kubeconfig ${JSON.stringify(section.file)}: ${keyPath(section, key)}:${shown} ${why}`;
  return new FabricError('invalid-config', message, { cause });
}

function keyPath({ path }: Section, key: string): string {
  return path === '' ? key : `${path}.${key}`;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
