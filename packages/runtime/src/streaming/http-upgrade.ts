import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';

/** The protocols that a header of the client names, in its order. */
export function offeredProtocols(header: string | string[] | undefined): string[] {
  return [header ?? []].flat().flatMap((value) => value.split(',').map((name) => name.trim()));
}

/** Answers an upgrade with 101; from here on the socket belongs to the new protocol. */
export function switchProtocols(socket: Duplex, headers: Record<string, string>): void {
  socket.write(head(101, { Connection: 'Upgrade', ...headers }));
}

/** Answers an upgrade with an error and closes. */
export function refuseUpgrade(
  socket: Duplex,
  status: number,
  text: string,
  headers: Record<string, string> = {},
): void {
  const body = `${text}\n`;
  const length = { 'Content-Type': 'text/plain', 'Content-Length': `${Buffer.byteLength(body)}` };
  socket.end(head(status, { Connection: 'close', ...length, ...headers }) + body);
}

function head(status: number, headers: Record<string, string>): string {
  const lines = Object.entries(headers).map(
    ([name, value]) => `${name}: ${value.replace(/[\r\n]/g, ' ')}\r\n`,
  );
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n`;
}
