import { runPlugin } from '@amphipod/cni';
import { builtinPlugins } from './builtin-plugins.ts';

// The executables hand over the plugin's type.
const type = process.argv[2] ?? '';
const plugins = builtinPlugins();
const plugin = plugins.get(type);
if (plugin === undefined) throw new Error(`run plugin ${JSON.stringify(type)}: not one of this package`);
process.exitCode = await runPlugin(plugin, { inProcess: plugins });
