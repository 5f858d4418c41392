import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { CniError, toCniError } from './errors.ts';
import type { NetworkConfigList } from './network-config.ts';
import { parseNetworkConfig, parseNetworkConfigList, parsePlugin } from './parse-network-config.ts';
import type { PluginConfig } from './plugin.ts';

/** The networks of a configuration directory. */
export interface LoadedNetworks {
  /** By file name; the first is the default network, as container runtimes choose it. */
  lists: NetworkConfigList[];
  /** One for each file that cannot be used. */
  errors: CniError[];
}

/**
 * Reads every *.conflist, *.conf and *.json of a directory; sub-directories are only read for the list that they
 * belong to (`<name>/*.conf`). A missing directory has no networks. @throws CniError when the directory cannot be read
 */
export function loadNetworkConfigLists(confDir: string): LoadedNetworks {
  const lists: NetworkConfigList[] = [];
  const errors: CniError[] = [];
  for (const file of configFiles(confDir, ['.conflist', '.conf', '.json'])) {
    try {
      lists.push(loadFile(confDir, file));
    } catch (error) {
      errors.push(toCniError(error, { file }));
    }
  }
  return { lists, errors };
}

/**
 * The network of this name; lists are looked at before single configurations, as libcni does.
 * @throws CniError invalid-network-config when there is none
 */
export function findNetworkConfigList(confDir: string, name: string): NetworkConfigList {
  const { lists, errors } = loadNetworkConfigLists(confDir);
  const named = lists.filter((list) => list.name === name);
  const found = named.find(({ file }) => file?.endsWith('.conflist')) ?? named[0];
  if (found !== undefined) return found;
  const problem =
    lists.length + errors.length === 0 ? `no net configurations found in ${confDir}` : undefined;
  throw new CniError(
    'invalid-network-config',
    problem ?? `no net configuration with name ${JSON.stringify(name)} in ${confDir}`,
    { details: errors.map(({ message }) => message).join('; ') },
  );
}

function loadFile(confDir: string, file: string): NetworkConfigList {
  const text = readText(file);
  if (extname(file) !== '.conflist') return parseNetworkConfig(text, { file });
  return parseNetworkConfigList(text, { file, loadFolder: (name) => loadFolder(join(confDir, name)) });
}

function loadFolder(folder: string): PluginConfig[] {
  return configFiles(folder, ['.conf']).map((file) => parsePlugin(readText(file), file));
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new CniError(
      'io-failure',
      `read network config ${JSON.stringify(file)}: ${(cause as Error).message}`,
      {
        file,
        cause,
      },
    );
  }
}

/** Files with one of these extensions, sorted by name. */
function configFiles(dir: string, extensions: readonly string[]): string[] {
  let entries: { name: string; isDirectory(): boolean }[];
  try {
    entries = readdirSync(dir, { withFileTypes: true });
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '')) return [];
    throw new CniError('io-failure', `read directory ${JSON.stringify(dir)}: ${(cause as Error).message}`, {
      cause,
    });
  }
  return entries
    .filter((entry) => !entry.isDirectory() && extensions.includes(extname(entry.name)))
    .map((entry) => join(dir, entry.name))
    .sort();
}
