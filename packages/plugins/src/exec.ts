import { findPlugin, runPlugin } from '@amphipod/cni';
import { builtinPlugins, pluginBinDir } from './builtin-plugins.ts';
import { daemonCommand } from './dhcp/daemon-command.ts';

// The launchers in bin/ hand over the plugin's type.
const type = process.argv[2] ?? '';
if (type === 'dhcp' && process.argv[3] === 'daemon')
  process.exitCode = await daemonCommand(process.argv.slice(4));
else {
  const plugins = builtinPlugins();
  const plugin = plugins.resolve(type, findPlugin(type, [pluginBinDir]));
  if (plugin === undefined) throw new Error(`run plugin ${JSON.stringify(type)}: not one of this package`);
  process.exitCode = await runPlugin(plugin, { inProcess: plugins });
}
