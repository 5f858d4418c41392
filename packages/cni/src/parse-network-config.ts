import { CniError, toCniError } from './errors.ts';
import { describeJson, isJsonObject, type JsonObject, parseJson, stringifyJson } from './json.ts';
import { validateNetworkName, validatePluginType } from './names.ts';
import type { NetworkConfigList } from './network-config.ts';
import type { PluginConfig } from './plugin.ts';
import { defaultVersion, selectVersion } from './versions.ts';

export interface ParseOptions {
  /** Named in errors and noted in the list. */
  file?: string;
  /** Gives the plugins of the network's own folder, for a list without `loadOnlyInlinedPlugins`. */
  loadFolder?: (networkName: string) => PluginConfig[];
}

/**
 * Reads a config list (.conflist).
 * @throws CniError decoding-failure for what is no JSON, invalid-network-config naming file, key, value and what is wanted
 */
export function parseNetworkConfigList(text: string, options: ParseOptions = {}): NetworkConfigList {
  const { file, loadFolder } = options;
  const object = parseObject(text, file);
  return within(file, () => {
    const name = expectName(object);
    const onlyInlined = booleanKey(object, 'loadOnlyInlinedPlugins');
    const inlined = inlinedPlugins(object, onlyInlined);
    const loaded = onlyInlined || loadFolder === undefined ? [] : loadFolder(name);
    const plugins = [...inlined, ...loaded];
    if (plugins.length === 0) {
      throw invalid('plugins', object.plugins, 'a list with at least one plugin');
    }
    // What is cached must be whole: at DEL the folder may be gone.
    const whole =
      loaded.length === 0 ? text : stringifyJson({ ...object, plugins, loadOnlyInlinedPlugins: true });
    return {
      name,
      cniVersion: versionOf(object),
      disableCheck: booleanKey(object, 'disableCheck'),
      disableGC: booleanKey(object, 'disableGC'),
      loadOnlyInlinedPlugins: onlyInlined,
      plugins,
      folderPlugins: loaded,
      ...(file !== undefined && { file }),
      bytes: Buffer.from(whole),
    };
  });
}

/** Reads a single configuration (.conf, .json) as a list of one plugin. @throws CniError as {@link parseNetworkConfigList} */
export function parseNetworkConfig(text: string, options: { file?: string } = {}): NetworkConfigList {
  const { file } = options;
  const plugin = parseObject(text, file);
  const list = within(file, () => {
    if (plugin.type === undefined && Array.isArray(plugin.plugins)) {
      throw invalid('plugins', '[…]', 'a single plugin: a list belongs in a file named *.conflist');
    }
    const { cniVersion, cniVersions } = plugin;
    return {
      ...(cniVersion !== undefined && { cniVersion }),
      ...(cniVersions !== undefined && { cniVersions }),
      name: expectName(plugin),
      plugins: [expectPlugin(plugin, undefined)],
    };
  });
  return parseNetworkConfigList(stringifyJson(list), options);
}

/** Reads one plugin of a network's folder. @throws CniError */
export function parsePlugin(text: string, file: string): PluginConfig {
  const plugin = parseObject(text, file);
  return within(file, () => expectPlugin(plugin, undefined));
}

function parseObject(text: string, file: string | undefined): JsonObject {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (cause) {
    const message = (cause as Error).message.replaceAll(/\s+/g, ' ');
    throw new CniError('decoding-failure', `parse ${subject(file)}: ${message}`, { ...atFile(file), cause });
  }
  if (!isJsonObject(value)) {
    throw new CniError(
      'decoding-failure',
      `parse ${subject(file)}: got ${describeJson(value)}, want an object`,
      {
        ...atFile(file),
      },
    );
  }
  return value;
}

/** Puts the file's name in front of errors about its content. */
function within<T>(file: string | undefined, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    const cause = toCniError(error);
    if (cause.file !== undefined) throw cause;
    throw new CniError(cause.number, `parse ${subject(file)}: ${cause.msg}`, {
      details: cause.details,
      ...atFile(file),
      ...(cause.key !== undefined && { key: cause.key }),
      cause,
    });
  }
}

function subject(file: string | undefined): string {
  return file === undefined ? 'network config' : `network config ${JSON.stringify(file)}`;
}

function atFile(file: string | undefined): { file?: string } {
  return file === undefined ? {} : { file };
}

function invalid(key: string, value: unknown, wanted: string): CniError {
  return new CniError('invalid-network-config', `key "${key}": got ${describeJson(value)}, want ${wanted}`, {
    key,
  });
}

function expectName({ name }: JsonObject): string {
  if (typeof name !== 'string' || name === '') throw invalid('name', name, 'the name of the network');
  validateNetworkName(name);
  return name;
}

function expectPlugin(value: unknown, index: number | undefined): PluginConfig {
  const at = index === undefined ? '' : `plugins[${index}]`;
  if (!isJsonObject(value)) throw invalid(at, value, 'an object with a "type"');
  const { type } = value;
  const key = at === '' ? 'type' : `${at}.type`;
  if (typeof type !== 'string' || type === '') throw invalid(key, type, 'the file name of a plugin');
  try {
    validatePluginType(type);
  } catch {
    throw invalid(key, type, 'a file name without / and \\');
  }
  const { capabilities } = value;
  if (capabilities !== undefined && !isJsonObject(capabilities)) {
    throw invalid(at === '' ? 'capabilities' : `${at}.capabilities`, capabilities, 'an object of booleans');
  }
  return value as PluginConfig;
}

function inlinedPlugins(object: JsonObject, onlyInlined: boolean): PluginConfig[] {
  const { plugins } = object;
  if (plugins === undefined) {
    if (onlyInlined) throw invalid('plugins', plugins, 'a list, as loadOnlyInlinedPlugins is true');
    return [];
  }
  if (!Array.isArray(plugins)) throw invalid('plugins', plugins, 'a list of plugins');
  return plugins.map(expectPlugin);
}

/** A boolean, or its name as a string, as libcni takes it. */
function booleanKey(object: JsonObject, key: string): boolean {
  const value = object[key];
  if (value === undefined || value === null) return false;
  if (typeof value === 'boolean') return value;
  const text = typeof value === 'string' ? value.toLowerCase() : undefined;
  if (text === 'true') return true;
  if (text === 'false') return false;
  throw invalid(key, value, 'true or false');
}

/** The highest of `cniVersion` and `cniVersions` that we speak. */
function versionOf({ cniVersion, cniVersions }: JsonObject): string {
  if (cniVersion !== undefined && typeof cniVersion !== 'string') {
    throw invalid('cniVersion', cniVersion, 'a version such as "1.0.0"');
  }
  if (cniVersions !== undefined && !Array.isArray(cniVersions)) {
    throw invalid('cniVersions', cniVersions, 'a list of versions such as ["1.0.0", "1.1.0"]');
  }
  const candidates = [...(cniVersions ?? []), ...(cniVersion === undefined ? [] : [cniVersion])];
  for (const [i, version] of candidates.entries()) {
    const key = i < (cniVersions?.length ?? 0) ? `cniVersions[${i}]` : 'cniVersion';
    if (typeof version !== 'string') throw invalid(key, version, 'a version such as "1.0.0"');
    try {
      selectVersion([version]);
    } catch {
      throw invalid(key, version, 'a version such as "1.0.0"');
    }
  }
  const selected = selectVersion(candidates as string[]);
  // Too new for us: passed on, so that each plugin says what it supports.
  return selected ?? (typeof cniVersion === 'string' && cniVersion !== '' ? cniVersion : defaultVersion);
}
