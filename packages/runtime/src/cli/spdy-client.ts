import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import { SpdyConnection } from '../spdy/connection.ts';
import { CliError } from './errors.ts';

/**
 * Opens a URL of Exec, Attach or PortForward: SPDY, because every runtime speaks it (containerd 1.6 no WebSocket).
 * @throws CliError with the server's words
 */
export async function openSpdy(url: string, protocols: readonly string[]): Promise<SpdyConnection> {
  const request = (url.startsWith('https:') ? httpsRequest : httpRequest)(url, {
    method: 'POST',
    headers: {
      Connection: 'Upgrade',
      Upgrade: 'SPDY/3.1',
      'X-Stream-Protocol-Version': [...protocols],
      'Content-Length': 0,
    },
  });
  const { promise, resolve, reject } = Promise.withResolvers<SpdyConnection>();
  request.on('upgrade', (_response: IncomingMessage, socket: Socket, head: Buffer) => {
    if (head.length > 0) socket.unshift(head);
    socket.setNoDelay(true);
    socket.setTimeout(0);
    resolve(new SpdyConnection(socket, { role: 'client', onStream: () => false }));
  });
  request.on('response', (response) => {
    response.setEncoding('utf8').once('data', (text: string) => {
      reject(new CliError(`open stream: ${response.statusCode} ${text.trim()}`));
    });
    response.once('end', () => reject(new CliError(`open stream: ${response.statusCode}`)));
  });
  request.on('error', (cause) => reject(new CliError(`open stream: ${cause.message}`, { cause })));
  request.end();
  return promise;
}
