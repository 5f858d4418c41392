import { runPlugin } from '@amphipod/cni';
import { builtinPlugins } from './builtin-plugins.ts';
import { daemonCommand } from './dhcp/daemon-command.ts';
import { openPluginHost } from './lib/host.ts';

// The executables hand over the plugin's type.
const type = process.argv[2] ?? '';
if (type === 'dhcp' && process.argv[3] === 'daemon') {
  process.exitCode = await daemonCommand(process.argv.slice(4));
} else {
  const host = openPluginHost();
  const plugins = builtinPlugins(() => host);
  const plugin = plugins.get(type);
  if (plugin === undefined) throw new Error(`run plugin ${JSON.stringify(type)}: not one of this package`);
  process.exitCode = await runPlugin(plugin, { inProcess: plugins });
  // An open connection would keep the process.
  await host.datastores[Symbol.asyncDispose]();
}
