import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { pluginBinDir } from '@amphipod/plugins';
import { parse as parseToml, TomlError } from 'smol-toml';
import type { DaemonConfig } from '../../config.ts';
import { CriError } from '../../errors.ts';
import { agentConfigProblem } from '../agent/agent-settings.ts';
import { readAgentTable } from './read-agent-table.ts';
import { refusedValue, type Source, unknownKey } from './refused-value.ts';
import { flagValue, keyOf, refusalOf } from './setting.ts';
import { fieldOf, fields, settings } from './settings.ts';

const defaultConfigFile = '/etc/amphipod/config.toml';

export type DaemonFlags = Record<string, string | boolean | undefined>;

export interface ReadConfig {
  config: DaemonConfig;
  /** Where each setting that is not the default comes from. */
  sources: Partial<Record<keyof DaemonConfig, string>>;
  /** The files that were read, in order. */
  files: string[];
}

/**
 * The settings: defaults, then the file (`--config`, else /etc/amphipod/config.toml where it exists), then its drop-ins
 * (`FILE.d/*.toml` by name), then the flags. A later value takes the place of an earlier one, a whole list too; of the table `[agent]` key by key.
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
    if (key === 'agent') {
      config.agent = readAgentTable(source, value, config.agent as DaemonConfig['agent']);
      // The flag alone says little.
      if (source.text !== undefined || sources.agent === undefined) sources.agent = source.name;
      return;
    }
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
    const field = fieldOf(key);
    if (flag === 'agent') set({ name: '--agent' }, key, { enabled: value });
    else set({ name: `--${flag}` }, key, field === undefined ? value : flagValue(settings[field], value));
  }
  requireBoth(config as unknown as DaemonConfig, sources);
  checkAgent(config.agent as DaemonConfig['agent'], sources.agent);
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

/** @throws CriError invalid-argument */
function check(source: Source, key: string, value: unknown): [field: keyof DaemonConfig, value: unknown] {
  const field = fieldOf(key);
  const known = fields.filter((field) => settings[field].isInternal === undefined).map(keyOf);
  const why = field === undefined ? unknownKey(key, known) : refusalOf(settings[field], value);
  if (field === undefined || why !== undefined) throw refusedValue(source, { path: [key], value, why: why! });
  return [field, value];
}

function requireBoth({ streamTlsCert, streamTlsKey }: DaemonConfig, sources: ReadConfig['sources']): void {
  if ((streamTlsCert === '') === (streamTlsKey === '')) return;
  const source = sources.streamTlsCert ?? sources.streamTlsKey;
  throw new CriError(
    'invalid-argument',
    `config ${source}: stream_tls_cert = ${JSON.stringify(streamTlsCert)}, stream_tls_key = ${JSON.stringify(streamTlsKey)}: need each other`,
  );
}

function checkAgent(agent: DaemonConfig['agent'], source: string | undefined): void {
  const problem = agentConfigProblem(agent, (field) => `agent.${keyOf(field)}`);
  if (problem !== undefined) throw new CriError('invalid-argument', `config ${source}: ${problem}`);
}
