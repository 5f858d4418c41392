import { type Cni, CniError, createCni, findNetworkConfigList, type NetworkConfigList } from '@amphipod/cni';
import { builtinPlugins, pluginBinDir } from '@amphipod/plugins';
import type { OptionSpecs, OptionValues } from '../command.ts';
import { CliError } from '../errors.ts';

const DEFAULT_CONF_DIR = '/etc/cni/net.d';
export const DEFAULT_CACHE_DIR = '/var/lib/cni';

/** Where networks and plugins are. */
export const placeOptions = {
  'conf-dir': {
    type: 'string',
    value: 'DIR',
    help: `network configurations (NETCONFPATH; ${DEFAULT_CONF_DIR})`,
  },
  'bin-dir': { type: 'string', value: 'DIR[:DIR]', help: 'plugins (CNI_PATH; /opt/cni/bin, then our own)' },
} as const satisfies OptionSpecs;

export const networkOptions = {
  ...placeOptions,
  'cache-dir': { type: 'string', value: 'DIR', help: `results of ADD (${DEFAULT_CACHE_DIR})` },
} as const satisfies OptionSpecs;

/** The directories that options, then variables name. */
export function readPlaces(
  options: OptionValues<typeof placeOptions>,
  env: NodeJS.ProcessEnv,
): { confDir: string; pluginDirs: string[] } {
  const path = options['bin-dir'] ?? env.CNI_PATH ?? '';
  return {
    confDir: options['conf-dir'] ?? (env.NETCONFPATH || DEFAULT_CONF_DIR),
    pluginDirs: path === '' ? ['/opt/cni/bin', pluginBinDir] : path.split(':'),
  };
}

/** A network by name, and the library to work on it. @throws CliError when there is no such network */
export function openNetwork(
  name: string,
  options: OptionValues<typeof networkOptions>,
  { env, stderr }: { env: NodeJS.ProcessEnv; stderr: { write(text: string): void } },
): { list: NetworkConfigList; cni: Cni } {
  const { confDir, pluginDirs } = readPlaces(options, env);
  const cni = createCni({
    pluginDirs,
    cacheDir: options['cache-dir'] ?? DEFAULT_CACHE_DIR,
    inProcess: builtinPlugins(),
    onWarning: (message) => stderr.write(`warning: ${message}\n`),
  });
  return { list: asCnitool(() => findNetworkConfigList(confDir, name)), cni };
}

/** Runs `work`; its failure becomes exit code 1 and the bare message, as cnitool has it. @throws CliError */
export function asCnitool<T>(work: () => T): T {
  const fail = (error: unknown): never => {
    if (!(error instanceof CniError)) throw error;
    throw new CliError(error.message, { exitCode: 1, isBare: true, cause: error });
  };
  try {
    const result = work();
    return result instanceof Promise ? (result.catch(fail) as T) : result;
  } catch (error) {
    return fail(error);
  }
}
