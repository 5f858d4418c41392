import { readdirSync, readFileSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { createInvoker, isJsonObject, type JsonObject, specVersions } from '@amphipod/cni';
import { builtinPlugins } from '@amphipod/plugins';
import { findChainMistakes } from './find-chain-mistakes.ts';
import { findPluginMistakes, type PluginPlaces, type PluginSetting } from './find-plugin-mistakes.ts';
import type { Mistake } from './mistake.ts';
import { type JsonKey, JsonSyntaxError, type JsonText, type Position, readJson } from './read-json.ts';

const extensions = ['.conflist', '.conf', '.json'];
const listKeys = [
  'cniVersion',
  'cniVersions',
  'name',
  'disableCheck',
  'disableGC',
  'loadOnlyInlinedPlugins',
  'plugins',
];
const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** A configuration that could be read, for comparing it with its neighbours. */
export interface CheckedFile {
  file: string;
  name: string | undefined;
  mistakes: Mistake[];
}

/** Checks files, and the configurations of directories; in a directory names must be unique. */
export async function findMistakes(
  paths: readonly string[],
  pluginDirs: readonly string[],
): Promise<CheckedFile[]> {
  const invoker = createInvoker({ pluginDirs, inProcess: builtinPlugins(), ownGroup: true });
  const places: PluginPlaces = { pluginDirs, invoker };
  const checked: CheckedFile[] = [];
  for (const path of paths) {
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
      checked.push(await checkFile(path, places));
      continue;
    }
    const names = readdirSync(path).filter((name) => extensions.includes(extname(name)));
    const files: CheckedFile[] = [];
    for (const name of names.sort()) files.push(await checkFile(join(path, name), places));
    findDuplicateNames(files);
    checked.push(...files);
  }
  return checked;
}

function findDuplicateNames(files: readonly CheckedFile[]): void {
  const first = new Map<string, string>();
  for (const { file, name, mistakes } of files) {
    if (name === undefined) continue;
    const other = first.get(name);
    if (other === undefined) first.set(name, file);
    else
      mistakes.push({
        severity: 'error',
        file,
        key: 'name',
        value: name,
        reason: `${other} has this name too`,
        wanted: 'each network of a directory needs a name of its own',
      });
  }
}

async function checkFile(file: string, places: PluginPlaces): Promise<CheckedFile> {
  const mistakes: Mistake[] = [];
  let text: JsonText;
  try {
    text = readJson(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error instanceof JsonSyntaxError)
      mistakes.push({ severity: 'error', file, position: error.position, key: '', reason: error.message });
    else mistakes.push({ severity: 'error', file, key: '', reason: (error as Error).message });
    return { file, name: undefined, mistakes };
  }
  const tell: Tell = (severity, key, { reason, wanted }, value) => {
    const position = positionOf(text, key);
    mistakes.push({
      severity,
      file,
      ...(position !== undefined && { position }),
      key,
      ...(value !== undefined && { value }),
      reason,
      ...(wanted !== undefined && { wanted }),
    });
  };
  for (const { key } of text.duplicates)
    tell('error', key, { reason: 'this key stands there twice', wanted: 'only the last one counts' });
  const name = await checkConfig(text.value, { ...places, file, tell });
  mistakes.sort(byPosition);
  return { file, name, mistakes };
}

/** Notes a mistake at a key. */
export type Tell = (
  severity: Mistake['severity'],
  key: JsonKey,
  what: { reason: string; wanted?: string | undefined },
  value?: unknown,
) => void;

interface Setting extends PluginPlaces {
  file: string;
  tell: Tell;
}

/** Gives the name when there is a usable one. */
async function checkConfig(value: unknown, { file, tell, ...places }: Setting): Promise<string | undefined> {
  if (!isJsonObject(value)) {
    tell('error', '', { reason: `got ${typeOf(value)}`, wanted: 'want an object' });
    return undefined;
  }
  const isList = extname(file) === '.conflist' || Array.isArray(value.plugins);
  if (isList && extname(file) !== '.conflist')
    tell('error', 'plugins', {
      reason: 'a list in a file of another kind',
      wanted: 'call the file *.conflist',
    });
  const name = checkName(value, tell);
  const cniVersion = checkVersions(value, tell);
  const setting: PluginSetting = { ...places, name: name ?? 'network', cniVersion, tell };
  if (!isList) {
    await findPluginMistakes(value, '', setting);
    return name;
  }
  for (const key of ['disableCheck', 'disableGC', 'loadOnlyInlinedPlugins']) checkBoolean(value, key, tell);
  for (const key of Object.keys(value)) {
    if (listKeys.includes(key)) continue;
    const wanted = key === 'type' ? 'a plugin belongs into "plugins"' : `known are ${listKeys.join(', ')}`;
    tell('warning', key, { reason: 'unknown key of a list', wanted });
  }
  const plugins = checkPlugins(value, tell);
  for (const [i, plugin] of plugins.entries()) await findPluginMistakes(plugin, `plugins[${i}]`, setting);
  findChainMistakes(plugins, tell);
  return name;
}

function checkName({ name }: JsonObject, tell: Tell): string | undefined {
  if (typeof name === 'string' && namePattern.test(name)) return name;
  tell(
    'error',
    'name',
    {
      reason: name === undefined ? 'the network has no name' : 'not a name',
      wanted: 'want a letter or digit, then letters, digits, "_", "." and "-"',
    },
    name,
  );
  return undefined;
}

/** Gives the version that the plugins would be called with. */
function checkVersions({ cniVersion, cniVersions }: JsonObject, tell: Tell): string {
  const known: readonly string[] = specVersions;
  const wanted = `want one of ${known.join(', ')}`;
  const check = (key: string, value: unknown) => {
    if (typeof value !== 'string' || !known.includes(value))
      tell('error', key, { reason: 'not a version of the specification', wanted }, value);
  };
  if (cniVersion === undefined && cniVersions === undefined)
    tell('warning', 'cniVersion', { reason: 'missing', wanted: 'without it 0.1.0 is meant; write "1.0.0"' });
  if (cniVersion !== undefined) check('cniVersion', cniVersion);
  if (Array.isArray(cniVersions)) {
    for (const [i, version] of cniVersions.entries()) check(`cniVersions[${i}]`, version);
  } else if (cniVersions !== undefined) {
    tell('error', 'cniVersions', { reason: 'not a list', wanted: 'want ["1.0.0", "1.1.0"]' }, cniVersions);
  }
  const all = [cniVersion, ...(Array.isArray(cniVersions) ? cniVersions : [])];
  return known.findLast((version) => all.includes(version)) ?? '0.1.0';
}

function checkBoolean(object: JsonObject, key: string, tell: Tell): void {
  const value = object[key];
  const isRight = value === undefined || typeof value === 'boolean' || /^(true|false)$/i.test(String(value));
  if (!isRight) tell('error', key, { reason: `got ${typeOf(value)}`, wanted: 'want true or false' }, value);
}

function checkPlugins({ plugins, loadOnlyInlinedPlugins }: JsonObject, tell: Tell): unknown[] {
  if (Array.isArray(plugins) && plugins.length > 0) return plugins;
  // Without a list the plugins may be in the network's own folder.
  if (plugins === undefined && loadOnlyInlinedPlugins === false) return [];
  tell('error', 'plugins', { reason: 'no plugins', wanted: 'want a list with at least one' }, plugins);
  return [];
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return `a ${typeof value}`.replace('a object', 'an object');
}

/** Where a key is, or the nearest one around it that there is. */
function positionOf({ positions }: JsonText, key: JsonKey): Position | undefined {
  for (let at = key; at !== ''; at = parentOf(at)) if (positions.has(at)) return positions.get(at);
  return positions.get('');
}

function parentOf(key: JsonKey): JsonKey {
  return key.replace(/(\.[^.[\]]*|\[\d+\]|^[^.[\]]*)$/, '');
}

function byPosition(a: Mistake, b: Mistake): number {
  return (
    (a.position?.line ?? 0) - (b.position?.line ?? 0) || (a.position?.column ?? 0) - (b.position?.column ?? 0)
  );
}
