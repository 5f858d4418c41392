import { existsSync, readFileSync } from 'node:fs';
import { pluginBinDir } from '@amphipod/plugins';
import { parse as parseToml } from 'smol-toml';
import type { DaemonConfig, RuntimeConfig } from '../config.ts';
import { parseUlimit } from '../containers/rlimits.ts';
import { distributionProfile } from '../containers/runtime-default.ts';
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
  runtimes: {},
  cdiSpecDirs: ['/etc/cdi', '/var/run/cdi'],
  defaultUlimits: ['nofile=65536:1048576'],
  logLevel: 'info',
  seccompProfile: distributionProfile,
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
    const key = flag.replaceAll('-', '_');
    set(config, { source: `--${flag}`, key, value: flagValue(key, value) });
  }
  const { streamTlsCert: cert, streamTlsKey: key } = config;
  if ((cert === '') !== (key === '')) {
    const settings = `stream_tls_cert = "${cert}", stream_tls_key = "${key}"`;
    throw new CriError('invalid-argument', `config: ${settings}: need each other`);
  }
  return Object.freeze(config) as unknown as DaemonConfig;
}

/** Flags are text; where the setting is a number, what looks like one becomes one. */
function flagValue(key: string, value: string | boolean | undefined) {
  const field = keys[key];
  const isNumber = field !== undefined && typeof defaults[field] === 'number';
  return isNumber && /^\d+$/.test(`${value}`) ? Number(value) : value;
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
  if (field === 'runtimes') {
    config[field] = readRuntimes(value, refused);
    return;
  }
  const old = defaults[field];
  if (Array.isArray(old)) {
    const list = typeof value === 'string' ? value.split(',') : value;
    if (!Array.isArray(list) || !list.every((item) => typeof item === 'string'))
      throw refused('must be a list of strings');
    if (field === 'defaultUlimits') for (const ulimit of list) parseUlimit(ulimit);
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

function readRuntimes(value: unknown, refused: (why: string) => CriError): Record<string, RuntimeConfig> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw refused('must be tables [runtimes.NAME]');
  return Object.fromEntries(
    Object.entries(value).map(([name, table]) => {
      if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(name))
        throw refused(`${JSON.stringify(name)}: must be a name like a RuntimeClass's handler`);
      const { path, options = [], type = 'oci', ...rest } = table as Record<string, unknown>;
      const [unknown] = Object.keys(rest);
      if (unknown !== undefined)
        throw refused(`${name}.${unknown}: unknown key; known are path, options, type`);
      if (type !== 'oci')
        throw refused(`${name}.type: must be "oci": a program with the command line of runc`);
      if (typeof path !== 'string' || !path.startsWith('/'))
        throw refused(`${name}.path: must be an absolute path`);
      if (!Array.isArray(options) || !options.every((option) => typeof option === 'string'))
        throw refused(`${name}.options: must be a list of strings`);
      return [name, { path, options }];
    }),
  );
}
