import {
  type Cni,
  createCni,
  findPlugin,
  type InProcessPlugins,
  loadNetworkConfigLists,
} from '@amphipod/cni';
import { builtinPlugins, builtinPluginTypes } from '@amphipod/plugins';
import { defineCommand, outputOption } from '../command.ts';
import { outputFormat, printJson, printTable } from '../output.ts';
import { DEFAULT_CACHE_DIR, placeOptions, readPlaces } from './network-options.ts';

export const command = defineCommand({
  name: 'cni list',
  summary: 'List networks and plugins',
  operands: '',
  arity: [0, 0],
  isLocal: true,
  options: { ...placeOptions, ...outputOption },
  details: `Networks are those of the configuration directory, the default one first; plugins those that they use, and ours.

Example:
  amphipod cni list`,
  async run(_operands, options, { env, stdout, stderr }) {
    const format = outputFormat(options.output);
    const { confDir, pluginDirs } = readPlaces(options, env);
    const { lists, errors } = loadNetworkConfigLists(confDir);
    const networks = lists.map(({ name, cniVersion, plugins, file }) => ({
      name,
      cniVersion,
      plugins: plugins.map(({ type }) => type),
      file: file ?? '',
    }));
    const types = [...new Set([...networks.flatMap((network) => network.plugins), ...builtinPluginTypes])];
    const inProcess = builtinPlugins();
    const cni = createCni({ pluginDirs, cacheDir: DEFAULT_CACHE_DIR, inProcess });
    const where = { pluginDirs, inProcess, cni };
    const plugins = await Promise.all(types.sort().map((type) => describePlugin(type, where)));
    for (const { message } of errors) stderr.write(`warning: ${message}\n`);
    if (format === 'json') printJson(stdout, { networks, plugins });
    else {
      const rows = networks.map((network) => [
        network.name,
        network.cniVersion,
        network.plugins.join(', '),
        network.file,
      ]);
      printTable(stdout, ['NETWORK', 'VERSION', 'PLUGINS', 'FILE'], rows);
      stdout.write('\n');
      const pluginRows = plugins.map(({ type, versions, runs, file }) => [
        type,
        versions.length === 0 ? '-' : `${versions[0]} to ${versions.at(-1)}`,
        runs,
        file ?? '-',
      ]);
      printTable(stdout, ['PLUGIN', 'VERSIONS', 'RUNS', 'FILE'], pluginRows);
    }
    return 0;
  },
});

interface ListedPlugin {
  type: string;
  versions: string[];
  runs: 'in process' | 'executed' | 'missing' | 'broken';
  file: string | undefined;
}

async function describePlugin(
  type: string,
  { pluginDirs, inProcess, cni }: { pluginDirs: string[]; inProcess: InProcessPlugins; cni: Cni },
): Promise<ListedPlugin> {
  let file: ReturnType<typeof findPlugin>;
  try {
    file = findPlugin(type, pluginDirs);
  } catch {
    return { type, versions: [], runs: 'missing', file: undefined };
  }
  const bound = inProcess.resolve(type, file);
  try {
    const versions = await cni.pluginVersions(type);
    return { type, versions, runs: bound === undefined ? 'executed' : 'in process', file: file.path };
  } catch {
    return { type, versions: [], runs: 'broken', file: file.path };
  }
}
