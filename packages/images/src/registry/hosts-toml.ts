import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse } from 'smol-toml';
import { ImageError } from '../errors.ts';
import type { TlsOptions } from './http-exchange.ts';
import type { RegistryHost } from './registry-hosts.ts';

/** What a hosts.toml says: mirrors in its order, and the registry's own server. */
export interface HostsFile {
  server?: RegistryHost;
  hosts: RegistryHost[];
}

type Table = Record<string, unknown>;

/**
 * Reads `CERTS_DIR/REGISTRY/hosts.toml`, or `_default` in the registry's place (containerd docs, hosts.md).
 * Undefined when there is neither. @throws ImageError naming file and key
 */
export function readHostsToml(certsDir: string, registry: string): HostsFile | undefined {
  // containerd writes "host_5000_" where a colon cannot be in a file name.
  const names = [registry, registry.replace(/:([0-9]+)$/, '_$1_'), '_default'];
  const file = names.map((name) => `${certsDir}/${name}/hosts.toml`).find((path) => existsSync(path));
  if (file === undefined) return undefined;
  return parseHostsToml(readFileSync(file, 'utf8'), file);
}

/** @param file for messages, and for paths in it, which are relative to it @throws ImageError */
export function parseHostsToml(text: string, file: string): HostsFile {
  let table: Table;
  try {
    table = parse(text);
  } catch (cause) {
    throw new ImageError('registry-error', `read ${file}: ${(cause as Error).message.split('\n')[0]}`, {
      cause,
    });
  }
  const hosts = tableOf(table.host ?? {}, file, 'host');
  const server = table.server;
  if (server !== undefined && typeof server !== 'string') throw wrong(file, 'server', 'a URL');
  return {
    ...(server !== undefined && {
      server: { ...hostOf(server, table, file), capabilities: ['pull', 'resolve'] },
    }),
    hosts: Object.entries(hosts).map(([url, host]) => hostOf(url, tableOf(host, file, `host.${url}`), file)),
  };
}

function hostOf(address: string, table: Table, file: string): RegistryHost {
  const url = address.includes('://') ? address : `https://${address}`;
  if (URL.parse(url) === null) throw wrong(file, 'host', `a URL, not ${JSON.stringify(address)}`);
  const headers = table.header === undefined ? undefined : headersOf(tableOf(table.header, file, 'header'));
  const capabilities = table.capabilities;
  return {
    url: url.replace(/\/+$/, ''),
    tls: tlsOf(table, file),
    ...(Array.isArray(capabilities) && {
      capabilities: (['pull', 'resolve'] as const).filter((name) => capabilities.includes(name)),
    }),
    ...(headers && { headers }),
    ...(table.override_path === true && { overridePath: true }),
  };
}

function tlsOf(table: Table, file: string): TlsOptions {
  const pem = (path: string) => {
    try {
      return readFileSync(resolve(dirname(file), path), 'utf8');
    } catch (cause) {
      throw new ImageError('registry-error', `read ${file}: ${(cause as Error).message}`, { cause });
    }
  };
  const list = (value: unknown): string[] =>
    (Array.isArray(value) ? value : [value]).filter((v) => typeof v === 'string');
  const ca = list(table.ca).map(pem);
  const client = Array.isArray(table.client) ? table.client[0] : table.client;
  const [cert, key] = list(client);
  return {
    ...(ca.length > 0 && { ca }),
    // A single file holds both.
    ...(cert !== undefined && { client: { cert: pem(cert), key: pem(key ?? cert) } }),
    ...(table.skip_verify === true && { skipVerify: true }),
  };
}

function headersOf(table: Table): Record<string, string> {
  return Object.fromEntries(
    Object.entries(table).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(', ') : String(value),
    ]),
  );
}

function tableOf(value: unknown, file: string, key: string): Table {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(file, key, 'a table');
  return value as Table;
}

function wrong(file: string, key: string, expected: string): ImageError {
  return new ImageError('registry-error', `read ${file}: ${key} must be ${expected}`);
}
