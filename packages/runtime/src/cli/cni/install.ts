import { CniError } from '@amphipod/cni';
import {
  builtinPluginTypes,
  defaultPluginSocket,
  findExecutables,
  installExecutables,
  ownInstallation,
} from '@amphipod/plugins';
import { type CommandContext, defineCommand, outputOption } from '../command.ts';
import { CliError } from '../errors.ts';
import { outputFormat, printJson, printTable } from '../output.ts';

export const command = defineCommand({
  name: 'cni install',
  summary: 'Put our plugins where other runtimes look',
  operands: 'DIR [PLUGIN...]',
  arity: [1, Number.POSITIVE_INFINITY],
  isLocal: true,
  options: {
    force: { type: 'boolean', help: 'replace files that are not ours' },
    list: { type: 'boolean', help: 'only show what is there' },
    'plugin-socket': {
      type: 'string',
      value: 'PATH',
      help: `socket of the plugin server (${defaultPluginSocket}); "" for none`,
    },
    ...outputOption,
  },
  details: `Files are replaced whole, so calls under way are not disturbed. They go on working with this installation, from wherever
they are called. Files of others stay as they are, and then nothing is installed, unless --force is given.

Examples:
  amphipod cni install /opt/cni/bin
  amphipod cni install --list /opt/cni/bin
  amphipod cni install /opt/cni/bin bridge host-local`,
  async run([dir, ...types], options, context) {
    const format = outputFormat(options.output);
    const installation = ownInstallation();
    const unknown = types.find((type) => !builtinPluginTypes.includes(type));
    if (unknown !== undefined)
      throw new CliError(`no plugin "${unknown}": there are ${builtinPluginTypes.join(', ')}`);
    const wanted = {
      installation,
      types: types.length > 0 ? types : builtinPluginTypes,
      socket: options['plugin-socket'] ?? defaultPluginSocket,
    };
    print(
      context,
      format,
      options.list
        ? findExecutables(dir!, wanted)
        : install(() => installExecutables(dir!, { ...wanted, force: options.force ?? false })),
    );
    return 0;
  },
});

function install<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const advice = error instanceof CniError ? ' (--force replaces them)' : '';
    throw new CliError(`${(error as Error).message}${advice}`, { cause: error });
  }
}

interface Row {
  type: string;
  path: string;
  state: string;
  identity?: { version: string; root: string; socket: string };
}

function print({ stdout }: CommandContext, format: string, rows: Row[]): void {
  if (format === 'json') {
    printJson(stdout, rows);
    return;
  }
  printTable(
    stdout,
    ['PLUGIN', 'STATE', 'VERSION', 'INSTALLATION', 'SOCKET', 'FILE'],
    rows.map(({ type, path, state, identity }) => [
      type,
      state,
      identity?.version ?? '-',
      identity === undefined ? '-' : identity.root || '(its own)',
      identity?.socket || '-',
      path,
    ]),
  );
}
