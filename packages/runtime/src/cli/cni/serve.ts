import { CniError } from '@amphipod/cni';
import { createPluginServer, defaultPluginSocket } from '@amphipod/plugins';
import { untilSignal, warmThreadPool } from '../../daemon/process.ts';
import { createLog } from '../../log.ts';
import { defineCommand } from '../command.ts';
import { CliError } from '../errors.ts';

export const command = defineCommand({
  name: 'cni serve',
  summary: 'Run the plugins for their executables',
  operands: '',
  arity: [0, 0],
  isLocal: true,
  options: {
    'plugin-socket': { type: 'string', value: 'PATH', help: `where to listen (${defaultPluginSocket})` },
  },
  details: `For machines with another runtime; "amphipod up" does it too. Executables that "amphipod cni install" put in place hand
their calls over, which then take a few milliseconds; without a server each of them starts Node.js. Needs root, and serves callers
in its own network and mount namespaces only. Ends on SIGTERM and Ctrl-C, after the calls under way.

Example:
  amphipod cni serve`,
  async run(_operands, options, { stderr }) {
    const log = createLog({ level: 'info', write: (line) => stderr.write(line) });
    await warmThreadPool();
    try {
      await using server = await createPluginServer({
        socketPath: options['plugin-socket'] ?? defaultPluginSocket,
        onWarning: (message) => log.warn(message),
      });
      log.info('ready', { socket: server.socketPath, pid: process.pid });
      await untilSignal();
      log.info('stopping');
      return 0;
    } catch (error) {
      if (!(error instanceof CniError) && (error as NodeJS.ErrnoException).code === undefined) throw error;
      throw new CliError((error as Error).message, { cause: error });
    }
  },
});
