import { once } from 'node:events';
import type { Socket } from 'node:net';
import { tcpSocketIn } from '@amphipod/linux';
import { CriError, errorText } from '../errors.ts';

const loopback = [
  { family: 4, host: '127.0.0.1' },
  { family: 6, host: '::1' },
] as const;
const connectTimeoutMs = 30_000;

/**
 * Connects to a port of `localhost` in a network namespace (undefined: the node's), over IPv4 and, where nobody answers
 * there, over IPv6.
 * @throws CriError failed-precondition with what came of both
 */
export async function connectInPod(netns: string | undefined, port: number): Promise<Socket> {
  const failures: string[] = [];
  for (const { family, host } of loopback) {
    let socket: Socket | undefined;
    try {
      socket = tcpSocketIn(netns, family);
      socket.connect({ host, port });
      await once(socket, 'connect', { signal: AbortSignal.timeout(connectTimeoutMs) });
      return socket;
    } catch (error) {
      socket?.on('error', () => {}).destroy();
      failures.push(errorText(error));
    }
  }
  throw new CriError('failed-precondition', `connect to port ${port} of the pod: ${failures.join('; ')}`);
}
