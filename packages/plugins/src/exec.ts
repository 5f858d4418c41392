import { findPlugin, runPlugin } from '@amphipod/cni';
import { builtinPlugins, pluginBinDir } from './builtin-plugins.ts';

// The launchers in bin/ hand over the plugin's type.
const type = process.argv[2] ?? '';
const plugins = builtinPlugins();
const plugin = plugins.resolve(type, findPlugin(type, [pluginBinDir]));
if (plugin === undefined) throw new Error(`run plugin ${JSON.stringify(type)}: not one of this package`);
process.exitCode = await runPlugin(plugin, { inProcess: plugins });
