import { dirname, posix, resolve } from 'node:path';
import { parse } from 'smol-toml';
import { ImageError } from '../errors.ts';
import { isObject } from '../is-object.ts';
import { readConfigFile } from './config-file.ts';
import type { TlsOptions } from './http-exchange.ts';
import type { HostCredentials, RegistryHost } from './registry-hosts.ts';

/** What a hosts.toml says: mirrors in its order, and how to reach the registry itself. */
export interface HostsFile {
  hosts: RegistryHost[];
  /** The settings outside of `[host]`; without `url` they are for the registry's usual address. */
  server: Omit<RegistryHost, 'url'> & { url?: string };
}

type Table = Record<string, unknown>;

const hostKeys = [
  'capabilities',
  'ca',
  'client',
  'skip_verify',
  'header',
  'override_path',
  'dial_timeout',
  'credentials',
];

/**
 * Parses a hosts.toml (containerd's docs/hosts.md). Beyond containerd's keys there is `credentials`.
 * @param file for messages, and for paths in it, which are relative to it
 * @throws ImageError invalid-registry-config naming file, key and value
 */
export function parseHostsToml(text: string, file: string): HostsFile {
  let table: Table;
  try {
    table = parse(text);
  } catch (cause) {
    const words = (cause as Error).message.split('\n')[0];
    throw new ImageError('invalid-registry-config', `read ${file}: ${words}`, { cause });
  }
  const { host, server, ...own } = table;
  const root = new HostTable(own, { file, path: '' });
  root.checkKeys(['server', 'host', ...hostKeys]);
  if (server !== undefined && typeof server !== 'string') throw root.wrong('server', server, 'a URL');
  const hosts = host === undefined ? [] : Object.entries(root.asTable('host', host));
  return {
    hosts: hosts.map(([address, value]) => {
      const path = `host.${JSON.stringify(address)}`;
      const entry = new HostTable(root.asTable(path, value), { file, path: `${path}.` });
      entry.checkKeys(hostKeys);
      return { url: entry.url(path, address), ...entry.settings() };
    }),
    server: { ...(server && { url: root.url('server', server) }), ...root.settings() },
  };
}

/** One table of the file, with the name that its keys have in messages. */
class HostTable {
  readonly #table: Table;
  readonly #file: string;
  readonly #path: string;

  constructor(table: Table, { file, path }: { file: string; path: string }) {
    this.#table = table;
    this.#file = file;
    this.#path = path;
  }

  checkKeys(known: string[]): void {
    for (const [key, value] of Object.entries(this.#table)) {
      if (!known.includes(key)) throw this.wrong(key, value, `no such key: known are ${known.join(', ')}`);
    }
  }

  settings(): Omit<RegistryHost, 'url'> {
    const tls = this.#tls();
    const { header, credentials } = this.#table;
    const dialTimeoutMs = this.#dialTimeout();
    return {
      capabilities: this.#capabilities(),
      ...(Object.keys(tls).length > 0 && { tls }),
      ...(header !== undefined && { headers: this.#headers(this.asTable('header', header)) }),
      ...(this.#boolean('override_path') && { overridePath: true }),
      ...(dialTimeoutMs !== undefined && { dialTimeoutMs }),
      ...(credentials !== undefined && { credentials: this.#credentials(credentials) }),
    };
  }

  url(key: string, address: string): string {
    const url = URL.parse(address.includes('://') ? address : `https://${address}`);
    if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === '')
      throw this.wrong(key, address, 'an http or https URL');
    if (url.username !== '' || url.password !== '')
      throw new ImageError(
        'invalid-registry-config',
        `read ${this.#file}: ${key.replace(/\/\/[^/"]*@/, '//…@')}: credentials go into a "credentials" table, not into the URL`,
      );
    if (url.search !== '' || url.hash !== '') throw this.wrong(key, address, 'a URL without "?" and "#"');
    const path = posix.normalize(url.pathname).replace(/\/+$/, '');
    return `${url.origin}${path}`;
  }

  asTable(key: string, value: unknown): Table {
    if (!isObject(value) || value instanceof Date) throw this.wrong(key, value, 'a table');
    return value;
  }

  wrong(key: string, value: unknown, expected: string): ImageError {
    // Whatever stands in a table of credentials is kept out of logs.
    const shown = key.startsWith('credentials') ? '…' : (JSON.stringify(value) ?? String(value));
    const where = /^(?:server|host)/.test(key) ? key : `${this.#path}${key}`;
    const rule = expected.startsWith('no such key') ? expected : `must be ${expected}`;
    return new ImageError(
      'invalid-registry-config',
      `read ${this.#file}: ${where} = ${shown.slice(0, 200)}: ${rule}`,
    );
  }

  #capabilities(): ('pull' | 'resolve')[] {
    const names = this.#table.capabilities === undefined ? [] : this.#strings('capabilities');
    for (const name of names) {
      if (!['pull', 'resolve', 'push'].includes(name.toLowerCase()))
        throw this.wrong('capabilities', names, 'a list of "pull", "resolve" and "push"');
    }
    const wanted = names.map((name) => name.toLowerCase());
    // As with containerd, an empty list is none.
    return (['pull', 'resolve'] as const).filter((name) => wanted.length === 0 || wanted.includes(name));
  }

  #tls(): TlsOptions {
    const { ca, client } = this.#table;
    const cas = ca === undefined ? [] : typeof ca === 'string' ? [ca] : this.#strings('ca');
    const pairs = client === undefined ? [] : this.#clientPairs(client);
    return {
      ...(cas.length > 0 && { ca: cas.map((path) => this.#read(path)) }),
      ...(pairs.length > 0 && {
        client: pairs.map(([cert, key]) => ({ cert: this.#read(cert), key: this.#read(key) })),
      }),
      ...(this.#boolean('skip_verify') && { skipVerify: true }),
    };
  }

  /** One file with both, a list of such files, or a list of pairs. */
  #clientPairs(client: unknown): [cert: string, key: string][] {
    const list = typeof client === 'string' ? [client] : client;
    const expected = 'a file, a list of files, or a list of pairs of certificate and key file';
    if (!Array.isArray(list)) throw this.wrong('client', client, expected);
    return list.map((item) => {
      if (typeof item === 'string') return [item, item];
      if (Array.isArray(item) && item.length === 2 && item.every((path) => typeof path === 'string'))
        return item as [string, string];
      throw this.wrong('client', client, expected);
    });
  }

  #headers(table: Table): Record<string, string | string[]> {
    const headers: Record<string, string | string[]> = {};
    for (const [name, value] of Object.entries(table)) {
      const values = Array.isArray(value) ? value : [value];
      const isFine =
        /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) &&
        values.every((text) => typeof text === 'string' && /^[\t\x20-\x7e]*$/.test(text));
      if (!isFine) throw this.wrong(`header.${name}`, value, 'text, or a list of texts, that HTTP allows');
      headers[name] = value as string | string[];
    }
    return headers;
  }

  /** Go's notation: `1m30s`, `500ms`. */
  #dialTimeout(): number | undefined {
    const value = this.#table.dial_timeout;
    if (value === undefined || value === '') return undefined;
    const expected = 'a time like "30s", "500ms" or "1m30s"';
    if (typeof value !== 'string') throw this.wrong('dial_timeout', value, expected);
    if (!/^(?:[0-9]+(?:\.[0-9]*)?(?:ms|s|m|h))+$/.test(value))
      throw this.wrong('dial_timeout', value, expected);
    const unitsMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
    let totalMs = 0;
    for (const [, number, unit] of value.matchAll(/([0-9.]+)(ms|s|m|h)/g))
      totalMs += Number(number) * unitsMs[unit as keyof typeof unitsMs];
    // Timers hold 31 bits.
    if (totalMs <= 0 || totalMs > 2 ** 31 - 1) throw this.wrong('dial_timeout', value, expected);
    return totalMs;
  }

  #credentials(value: unknown): HostCredentials {
    const table = this.asTable('credentials', value);
    const text = (key: string): string | undefined => {
      const found = table[key];
      if (found !== undefined && (typeof found !== 'string' || found === ''))
        throw this.wrong(`credentials.${key}`, found, 'text');
      return found as string | undefined;
    };
    const { username, password, password_file, identity_token, registry_token, helper } = Object.fromEntries(
      ['username', 'password', 'password_file', 'identity_token', 'registry_token', 'helper'].map((key) => [
        key,
        text(key),
      ]),
    );
    const shape = [
      username && password && 'password',
      username && password_file && 'password_file',
      identity_token && 'identity_token',
      registry_token && 'registry_token',
      helper && 'helper',
    ].filter((name) => name);
    const count = Object.keys(table).length;
    if (shape.length !== 1 || count !== (username === undefined ? 1 : 2)) {
      const ways = 'username with password or password_file, identity_token, registry_token, or helper';
      throw this.wrong('credentials', undefined, `one of: ${ways}`);
    }
    if (username) return { username, password: password ?? this.#read(password_file!).replace(/\r?\n$/, '') };
    if (identity_token) return { identityToken: identity_token };
    return registry_token ? { registryToken: registry_token } : { helper: helper! };
  }

  #boolean(key: string): boolean {
    const value = this.#table[key];
    if (value !== undefined && typeof value !== 'boolean') throw this.wrong(key, value, 'true or false');
    return value === true;
  }

  #strings(key: string): string[] {
    const value = this.#table[key];
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'string'))
      throw this.wrong(key, value, 'a list of texts');
    return value;
  }

  #read(path: string): string {
    try {
      return readConfigFile(resolve(dirname(this.#file), path));
    } catch (cause) {
      const text = `read ${this.#file}: ${(cause as Error).message}`;
      throw new ImageError('invalid-registry-config', text, { cause });
    }
  }
}
