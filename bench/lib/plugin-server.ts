import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';

/** Runs `amphipod cni serve` while `work` does. @param program the command line */
export async function withPluginServer<T>(
  program: string,
  socket: string,
  work: () => Promise<T>,
): Promise<T> {
  const server = spawn(program, ['cni', 'serve', '--plugin-socket', socket], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await once(server.stderr, 'data');
  try {
    return await work();
  } finally {
    server.kill();
    await once(server, 'exit');
  }
}

/** Puts our executables into a directory, with a server to ask; socket '': without. @returns the directory */
export function installPlugins(program: string, dir: string, socket: string): string {
  execFileSync(program, ['cni', 'install', '--plugin-socket', socket, dir]);
  return dir;
}
