import { mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CniError } from '@amphipod/cni';
import { FileLock } from '@amphipod/linux';
import { type BuiltinPlugins, builtinPlugins } from '../builtin-plugins.ts';
import { defaultPluginSocket, type Installation, ownInstallation } from '../executables/installation.ts';
import { Orphans } from './orphans.ts';
import { createCallerCheck } from './same-world.ts';
import { type ServerContext, serveConnection } from './serve-connection.ts';

export interface PluginServerOptions {
  /** Default: where the executables look for it. */
  socketPath?: string;
  /** Default: ones of its own. */
  plugins?: BuiltinPlugins;
  installation?: Installation;
  /** Told of what went wrong with nobody left to tell. */
  onWarning?: (message: string) => void;
}

/** Serves the executables of plugins; disposing ends it. */
export interface PluginServer extends AsyncDisposable {
  readonly socketPath: string;
}

/** A burst of pods waits here. The kernel's own limit is net.core.somaxconn, 4096. */
const BACKLOG = 4096;
/** For calls under way when the server ends, and then again for their undoing. */
const GRACE_MS = 5000;

/**
 * Listens on a socket of root's alone and runs the plugins of this package for the executables that come, in this process.
 * Call it with the thread in its own namespaces. @throws CniError try-again-later when another server has the socket
 */
export async function createPluginServer(options: PluginServerOptions = {}): Promise<PluginServer> {
  const { socketPath = defaultPluginSocket, onWarning = () => {} } = options;
  mkdirSync(dirname(socketPath), { recursive: true, mode: 0o711 });
  const lock = FileLock.try(`${socketPath}.lock`);
  if (lock === undefined)
    throw new CniError('try-again-later', `listen on ${socketPath}: another server is there`);
  const stopping = new AbortController();
  const context: ServerContext = {
    installation: options.installation ?? ownInstallation(),
    plugins: options.plugins ?? builtinPlugins(),
    checkCaller: createCallerCheck(),
    orphans: new Orphans(),
    stopping: stopping.signal,
    onWarning,
  };
  const connections = new Map<Socket, Promise<void>>();
  const server = createServer((socket) => {
    const work = serveConnection(socket, context).finally(() => connections.delete(socket));
    connections.set(socket, work);
  });
  try {
    await listen(server, socketPath);
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
  server.on('error', (error) => onWarning(`accept on ${socketPath}: ${error.message}`));
  return {
    socketPath,
    async [Symbol.asyncDispose]() {
      server.close();
      rmSync(socketPath, { force: true });
      const finished = () => Promise.all(connections.values());
      await Promise.race([finished(), sleep(GRACE_MS, undefined, { ref: false })]);
      stopping.abort(new CniError('try-again-later', 'the plugin server ends'));
      for (const socket of connections.keys()) socket.destroySoon();
      await Promise.race([finished(), sleep(GRACE_MS, undefined, { ref: false })]);
      lock[Symbol.dispose]();
    },
  };
}

async function listen(server: Server, path: string): Promise<void> {
  // Left by a server that was killed; whoever holds the lock owns the path.
  rmSync(path, { force: true });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  // Bound within the call: nobody else gets to see another mode.
  const umask = process.umask(0o177);
  try {
    server.listen({ path, backlog: BACKLOG }, resolve);
  } finally {
    process.umask(umask);
  }
  await promise;
  server.off('error', reject);
}
