import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { pluginBinDir } from '@amphipod/plugins';
import { parse as parseToml, TomlError } from 'smol-toml';
import type { DaemonConfig } from '../../config.ts';
import { CriError } from '../../errors.ts';
import { keyLine } from './key-line.ts';
import { fieldOf, fields, keyOf, settings } from './settings.ts';

const defaultConfigFile = '/etc/amphipod/config.toml';

export type DaemonFlags = Record<string, string | boolean | undefined>;

/** Where a value comes from. */
interface Source {
  /** A file, or a flag: `--root`. */
  name: string;
  /** Of a file. */
  text?: string;
}

export interface ReadConfig {
  config: DaemonConfig;
  /** Where each setting that is not the default comes from. */
  sources: Partial<Record<keyof DaemonConfig, string>>;
  /** The files that were read, in order. */
  files: string[];
}

/**
 * The settings: defaults, then the file (`--config`, else /etc/amphipod/config.toml where it exists), then its drop-ins
 * (`FILE.d/*.toml` by name), then the flags. A later value takes the place of an earlier one, a whole list too.
 * @throws CriError invalid-argument naming file, line, key and value
 */
export function readDaemonConfig(flags: DaemonFlags): ReadConfig {
  const named = typeof flags.config === 'string' ? flags.config : undefined;
  const file = named ?? defaultConfigFile;
  const files = [...(named !== undefined || existsSync(file) ? [file] : []), ...dropInsOf(file)];
  const config: Record<string, unknown> = Object.fromEntries(
    fields.map((field) => [field, settings[field].default]),
  );
  config.cniBinDir = [...settings.cniBinDir.default, pluginBinDir];
  const sources: ReadConfig['sources'] = {};
  const set = (source: Source, key: string, value: unknown) => {
    const [field, checked] = check(source, key, value);
    config[field] = checked;
    sources[field] = source.name;
  };
  for (const path of files) {
    const { text, table } = readFile(path);
    for (const [key, value] of Object.entries(table)) set({ name: path, text }, key, value);
  }
  for (const [flag, value] of Object.entries(flags)) {
    if (flag === 'config' || value === undefined) continue;
    const key = flag.replaceAll('-', '_');
    set({ name: `--${flag}` }, key, flagValue(key, value));
  }
  requireBoth(config as unknown as DaemonConfig, sources);
  return { config: config as unknown as DaemonConfig, sources, files };
}

/** What an administrator, a package and a tool each add without touching the others' file. */
function dropInsOf(file: string): string[] {
  const dir = `${file}.d`;
  if (!existsSync(dir)) return [];
  return readdirSync(dir)
    .filter((name) => name.endsWith('.toml'))
    .sort()
    .map((name) => `${dir}/${name}`);
}

function readFile(path: string): { text: string; table: Record<string, unknown> } {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new CriError('invalid-argument', `read config ${path}`, { cause });
  }
  try {
    return { text, table: parseToml(text) };
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    const [why] = cause.message.split('\n');
    throw new CriError('invalid-argument', `read config ${path}:${cause.line}: ${why}`, { cause });
  }
}

/** Flags are text; where the setting is a number or a list, it becomes one. */
function flagValue(key: string, value: string | boolean): unknown {
  const field = fieldOf(key);
  if (field === undefined || typeof value !== 'string') return value;
  const { default: wanted } = settings[field];
  if (typeof wanted === 'number' && /^\d+$/.test(value)) return Number(value);
  if (Array.isArray(wanted)) return value === '' ? [] : value.split(',');
  return value;
}

/** @throws CriError invalid-argument */
function check(
  { name, text }: Source,
  key: string,
  value: unknown,
): [field: keyof DaemonConfig, value: unknown] {
  const refused = (why: string) => {
    const place = text === undefined ? name : `${name}:${keyLine(text, [key])}`;
    return new CriError('invalid-argument', `config ${place}: ${key} = ${JSON.stringify(value)}: ${why}`);
  };
  const field = fieldOf(key);
  if (field === undefined) throw refused(unknownKey(key));
  const { default: wanted, refuse } = settings[field];
  if (Array.isArray(wanted)) {
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'string'))
      throw refused('must be a list of strings');
  } else if (typeof value !== typeof wanted) throw refused(`must be a ${typeof wanted}`);
  const why = (refuse as ((value: unknown) => string | undefined) | undefined)?.(value);
  if (why !== undefined) throw refused(why);
  return [field, value];
}

function unknownKey(key: string): string {
  const known = fields.filter((field) => settings[field].isInternal === undefined).map(keyOf);
  const meant = known.find((name) => name.replaceAll('_', '') === key.toLowerCase().replaceAll(/[-_]/g, ''));
  return meant === undefined
    ? `unknown key; known are ${known.join(', ')}`
    : `unknown key; it is spelt ${meant}`;
}

function requireBoth({ streamTlsCert, streamTlsKey }: DaemonConfig, sources: ReadConfig['sources']): void {
  if ((streamTlsCert === '') === (streamTlsKey === '')) return;
  const source = sources.streamTlsCert ?? sources.streamTlsKey;
  throw new CriError(
    'invalid-argument',
    `config ${source}: stream_tls_cert = ${JSON.stringify(streamTlsCert)}, stream_tls_key = ${JSON.stringify(streamTlsKey)}: need each other`,
  );
}
