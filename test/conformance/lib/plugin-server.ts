// A plugin server in a process of its own, so that tests which wait for a program do not keep it from answering. Its parent's
// end is its end. `plugin-server.ts SOCKET`
import { builtinPlugins, createPluginServer } from '@amphipod/plugins';

const [socketPath = ''] = process.argv.slice(2);
const server = await createPluginServer({
  socketPath,
  plugins: builtinPlugins(),
  onWarning: (message) => process.stdout.write(`warning: ${message}\n`),
});
process.stdout.write('ready\n');
process.stdin.resume();
await new Promise((resolve) => process.stdin.once('close', resolve));
await server[Symbol.asyncDispose]();
