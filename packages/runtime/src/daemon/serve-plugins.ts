import { isCode } from '@amphipod/linux';
import { type BuiltinPlugins, createPluginServer, type PluginServer } from '@amphipod/plugins';
import type { RuntimeContext } from '../context.ts';
import { errorText } from '../errors.ts';

/**
 * Lets the plugins' executables run in the daemon, which shares its connections to the kernel with them. With another
 * server on the socket they run there: nothing is served here then. @throws what else keeps it from listening
 */
export async function servePlugins(
  { config, log }: RuntimeContext,
  plugins: BuiltinPlugins,
): Promise<PluginServer | undefined> {
  try {
    return await createPluginServer({
      socketPath: `${config.state}/cni.sock`,
      plugins,
      onWarning: (message) => log.warn(message),
    });
  } catch (error) {
    if (!isCode(error, 'try-again-later')) throw error;
    log.warn('plugins are executed elsewhere', { reason: errorText(error) });
    return undefined;
  }
}
