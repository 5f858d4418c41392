import type { CriClient } from './client.ts';

/** Where a command line's CRI server is, and the connection to it once it is needed. */
export interface Connection extends Disposable {
  socket: string;
  client(): Promise<CriClient>;
}

/** `option` is the value of `--socket`. */
export function connectionOf(option: string | undefined, env: NodeJS.ProcessEnv): Connection {
  const endpoint = option || env.AMPHIPOD_SOCKET || env.CONTAINER_RUNTIME_ENDPOINT;
  const socket = socketPath(endpoint ?? '/run/amphipod/amphipod.sock');
  let opened: CriClient | undefined;
  return {
    socket,
    async client() {
      // Loaded here, for commands that only print their help do not need gRPC.
      const { connectCri } = await import('./client.ts');
      opened ??= connectCri(socket);
      return opened;
    },
    [Symbol.dispose]: () => opened?.[Symbol.dispose](),
  };
}

/** The file that `unix:///run/x.sock`, `unix:/run/x.sock` or `/run/x.sock` means. */
export function socketPath(endpoint: string): string {
  return endpoint.replace(/^unix:(\/\/)?(?=\/)/, '');
}
