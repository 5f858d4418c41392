import { existsSync, readFileSync } from 'node:fs';
import { pluginBinDir } from '@amphipod/plugins';
import { parse as parseToml } from 'smol-toml';
import type { DaemonConfig } from '../config.ts';
import { CriError } from '../errors.ts';
import { logLevels } from '../log.ts';

const defaultConfigFile = '/etc/amphipod/config.toml';

const defaults: DaemonConfig = {
  root: '/var/lib/amphipod',
  state: '/run/amphipod',
  socket: '/run/amphipod/amphipod.sock',
  cniConfDir: '/etc/cni/net.d',
  cniBinDir: ['/opt/cni/bin', pluginBinDir],
  cniCacheDir: '/var/lib/cni',
  cniTimeoutMs: 60_000,
  runtime: '',
  logLevel: 'info',
  seccompProfile: '/usr/share/containers/seccomp.json',
  streamAddress: '127.0.0.1',
  streamPort: 0,
  streamTlsCert: '',
  streamTlsKey: '',
  insecureRegistries: [],
  failpoints: false,
};

/** Keys of the file, and of the flags with dashes: `cni_conf_dir`, `--cni-conf-dir`. */
const keys: Record<string, keyof DaemonConfig> = Object.fromEntries(
  Object.keys(defaults).map((key) => [
    key.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`),
    key as keyof DaemonConfig,
  ]),
);

export type DaemonFlags = Record<string, string | boolean | undefined>;

/**
 * The settings: defaults, then the file (`--config`, else /etc/amphipod/config.toml where it exists), then the flags.
 * @throws CriError invalid-argument naming file, key and value
 */
export function readDaemonConfig(flags: DaemonFlags): DaemonConfig {
  const file = typeof flags.config === 'string' ? flags.config : undefined;
  const fromFile = readFile(file ?? defaultConfigFile, file !== undefined);
  const fromFlags = Object.entries(flags).filter(([flag, value]) => flag !== 'config' && value !== undefined);
  const config: Record<string, unknown> = { ...defaults };
  for (const [key, value] of Object.entries(fromFile))
    set(config, { source: file ?? defaultConfigFile, key, value });
  for (const [flag, value] of fromFlags) {
    set(config, { source: `--${flag}`, key: flag.replaceAll('-', '_'), value: flagValue(flag, value) });
  }
  if ((config.streamTlsCert === '') !== (config.streamTlsKey === ''))
    throw new CriError('invalid-argument', 'config: stream_tls_cert and stream_tls_key need each other');
  return Object.freeze(config) as unknown as DaemonConfig;
}

/** Flags are text; numbers among them become such where they look like it. */
function flagValue(flag: string, value: string | boolean | undefined) {
  return ['stream-port', 'cni-timeout-ms'].includes(flag) && /^\d+$/.test(`${value}`) ? Number(value) : value;
}

function readFile(file: string, required: boolean): Record<string, unknown> {
  if (!required && !existsSync(file)) return {};
  try {
    return parseToml(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new CriError('invalid-argument', `read config ${file}`, { cause });
  }
}

function set(
  config: Record<string, unknown>,
  { source, key, value }: { source: string; key: string; value: unknown },
): void {
  const field = keys[key];
  const refused = (why: string) =>
    new CriError('invalid-argument', `config ${source}: ${key} = ${JSON.stringify(value)}: ${why}`);
  if (field === undefined) throw refused(`unknown key; known are ${Object.keys(keys).join(', ')}`);
  const old = defaults[field];
  if (Array.isArray(old)) {
    const list = typeof value === 'string' ? value.split(',') : value;
    if (!Array.isArray(list) || !list.every((item) => typeof item === 'string'))
      throw refused('must be a list of strings');
    config[field] = list;
    return;
  }
  if (typeof value !== typeof old) throw refused(`must be a ${typeof old}`);
  if (field === 'logLevel' && !(logLevels as string[]).includes(value as string)) {
    throw refused(`must be one of ${logLevels.join(', ')}`);
  }
  if (field === 'streamPort' && !(Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 65_535))
    throw refused('must be a port number, or 0 for any free one');
  if (field === 'cniTimeoutMs' && !(Number.isSafeInteger(value) && Number(value) > 0))
    throw refused('must be a number of milliseconds above 0');
  if (
    ['root', 'state', 'socket', 'cniConfDir', 'cniCacheDir'].includes(field) &&
    !(value as string).startsWith('/')
  ) {
    throw refused('must be an absolute path');
  }
  config[field] = value;
}
