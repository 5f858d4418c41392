import { readdirSync } from 'node:fs';
import { CniError, type Invoker, isJsonObject, type JsonObject, type NetConf } from '@amphipod/cni';
import {
  builtinPluginTypes,
  type ConfigCheck,
  commonKeys,
  configChecks,
  type KnownKeys,
} from '@amphipod/plugins';
import { closest } from './closest.ts';
import type { Tell } from './find-mistakes.ts';
import { elementKey, type JsonKey, memberKey } from './read-json.ts';

/** Where plugins are, and who asks them. */
export interface PluginPlaces {
  pluginDirs: readonly string[];
  invoker: Invoker;
}

export interface PluginSetting extends PluginPlaces {
  name: string;
  cniVersion: string;
  tell: Tell;
}

/** Of the conventions; plugins of others may know more. */
const capabilities = [
  'aliases',
  'bandwidth',
  'cgroupPath',
  'deviceID',
  'dns',
  'infinibandGUID',
  'ipRanges',
  'ips',
  'mac',
  'portMappings',
];
const VERSION_TIMEOUT_MS = 10_000;
/** So many wrong values are looked for in one plugin. */
const MAX_VALUES = 50;

/** Mistakes in one plugin's part. @param at its key, empty for a file of a single plugin */
export async function findPluginMistakes(value: unknown, at: JsonKey, setting: PluginSetting): Promise<void> {
  const { tell } = setting;
  if (!isJsonObject(value)) {
    tell('error', at, { reason: 'not a plugin', wanted: 'want an object with a "type"' }, value);
    return;
  }
  checkCapabilities(value, at, tell);
  const check = await checkType(value.type, memberKey(at, 'type'), setting);
  if (check === undefined) return;
  const listKeys = at === '' ? { cniVersions: true as const, disableCheck: true as const } : {};
  checkKeys(value, { ...commonKeys, ...check.keys, ...listKeys }, { at, tell, type: String(value.type) });
  const ipam = isJsonObject(value.ipam) ? value.ipam : undefined;
  const ipamAt = memberKey(at, 'ipam');
  const ipamCheck =
    ipam?.type === undefined ? undefined : await checkType(ipam.type, memberKey(ipamAt, 'type'), setting);
  if (ipamCheck !== undefined && !ipamCheck.isIpam)
    tell(
      'error',
      memberKey(ipamAt, 'type'),
      { reason: 'gives no addresses', wanted: 'want an IPAM plugin such as host-local' },
      ipam!.type,
    );
  else if (ipamCheck !== undefined)
    checkKeys(
      ipam!,
      { ...ipamCheck.keys, type: true, name: true },
      { at: ipamAt, tell, type: String(ipam!.type) },
    );
  for (const { read } of [check, ipamCheck].filter((each) => each !== undefined)) {
    if (read !== undefined) checkValues(value, read, { at, setting });
  }
}

/** Looks whether the plugin is there and speaks the version; gives what is known about it. */
async function checkType(
  type: unknown,
  key: JsonKey,
  setting: PluginSetting,
): Promise<ConfigCheck | undefined> {
  const { pluginDirs, invoker, cniVersion, tell } = setting;
  if (typeof type !== 'string' || type === '' || /[/\\]/.test(type)) {
    tell(
      'error',
      key,
      { reason: 'not the name of a plugin', wanted: 'want the file name of a plugin such as "bridge"' },
      type,
    );
    return undefined;
  }
  const known = configCheckOf(type);
  try {
    invoker.find(type);
  } catch {
    const meant = closest(type, [...builtinPluginTypes, ...pluginDirs.flatMap(listDir)]);
    const wanted =
      meant === undefined ? `there are ${builtinPluginTypes.join(', ')}` : `did you mean "${meant}"?`;
    tell('error', key, { reason: `no such plugin in ${pluginDirs.join(':')}`, wanted }, type);
    return known;
  }
  try {
    const versions = await invoker.versions(type, AbortSignal.timeout(VERSION_TIMEOUT_MS));
    if (!versions.includes(cniVersion))
      tell(
        'error',
        key,
        { reason: `does not speak version ${cniVersion}`, wanted: `it speaks ${versions.join(', ')}` },
        type,
      );
  } catch (error) {
    tell('error', key, { reason: `cannot be asked for its versions: ${(error as Error).message}` }, type);
  }
  return known;
}

/** What is known about a plugin by its type. */
export function configCheckOf(type: unknown): ConfigCheck | undefined {
  return typeof type === 'string' && Object.hasOwn(configChecks, type) ? configChecks[type] : undefined;
}

function listDir(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

function checkCapabilities({ capabilities: declared }: JsonObject, at: JsonKey, tell: Tell): void {
  if (declared === undefined) return;
  const key = memberKey(at, 'capabilities');
  if (!isJsonObject(declared)) {
    tell('error', key, { reason: 'not an object', wanted: 'want {"portMappings": true}' }, declared);
    return;
  }
  for (const [name, value] of Object.entries(declared)) {
    const memberAt = memberKey(key, name);
    if (typeof value !== 'boolean')
      tell('error', memberAt, { reason: 'not a switch', wanted: 'want true or false' }, value);
    const meant = capabilities.includes(name) ? undefined : closest(name, capabilities);
    if (meant !== undefined)
      tell('warning', memberAt, { reason: 'unknown capability', wanted: `did you mean "${meant}"?` });
  }
}

/** Keys that nobody reads. Case does not matter, as in Go. */
function checkKeys(
  section: JsonObject,
  known: KnownKeys,
  { at, tell, type }: { at: JsonKey; tell: Tell; type: string },
): void {
  const byLowerCase = new Map(Object.entries(known).map(([name, below]) => [name.toLowerCase(), below]));
  for (const [name, value] of Object.entries(section)) {
    // Reserved for runtimes, and for notes: "cni.dev/…", "_comment".
    if (name.includes('/') || name.startsWith('_')) continue;
    const key = memberKey(at, name);
    const below = byLowerCase.get(name.toLowerCase());
    if (below === undefined) {
      const meant = closest(name, Object.keys(known));
      tell('warning', key, {
        reason: `${type} has no such key and ignores it`,
        ...(meant !== undefined && { wanted: `did you mean "${meant}"?` }),
      });
    } else if (below !== true) {
      for (const [object, objectAt] of objectsIn(value, key))
        checkKeys(object, below, { at: objectAt, tell, type });
    }
  }
}

/** The object, or those of a list (of lists). */
function objectsIn(value: unknown, at: JsonKey): [JsonObject, JsonKey][] {
  if (Array.isArray(value)) return value.flatMap((item, i) => objectsIn(item, elementKey(at, i)));
  return isJsonObject(value) ? [[value, at]] : [];
}

/** What the plugin's own reader says; a wrong value is taken away and the rest read again, to find the next one. */
function checkValues(
  plugin: JsonObject,
  read: NonNullable<ConfigCheck['read']>,
  { at, setting }: { at: JsonKey; setting: PluginSetting },
): void {
  const { name, cniVersion, tell } = setting;
  const config = structuredClone({ ...plugin, name, cniVersion }) as NetConf;
  for (let i = 0; i < MAX_VALUES; i++) {
    try {
      read({ config, args: '' });
      return;
    } catch (error) {
      if (!(error instanceof CniError)) throw error;
      const key = error.key ?? '';
      const value = key === '' ? undefined : takeAway(config, key);
      // Perhaps only because of what was taken away: "there is no subnet".
      if (value === undefined && i > 0) return;
      const reason = key === '' ? error.message : error.message.replace(/^key "[^"]*": /, '');
      tell('error', key === '' ? at : joinKeys(at, key), { reason }, value);
      if (value === undefined) return;
    }
  }
}

function joinKeys(at: JsonKey, key: JsonKey): JsonKey {
  return at === '' ? key : `${at}.${key}`;
}

/** Removes a value from a configuration and gives it; undefined when there is none. */
function takeAway(config: JsonObject, key: JsonKey): unknown {
  const path = key.split(/[.[\]]+/).filter((part) => part !== '');
  const last = path.pop()!;
  let section: unknown = config;
  for (const part of path) section = (section as JsonObject | undefined)?.[part];
  if (!isJsonObject(section)) return undefined;
  const actual = Object.keys(section).find((name) => name.toLowerCase() === last.toLowerCase());
  if (actual === undefined) return undefined;
  const value = section[actual];
  delete section[actual];
  return value;
}
