import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createRawServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

// A registry that misbehaves on demand. It is a fake: a real registry cannot be told to cut a connection at byte
// 1000, to refuse ranges or to let tokens run out. What it does right is what the distribution spec says;
// images-registry.test.ts runs against a real one.

export interface FakeRegistry {
  /** `127.0.0.1:PORT`. */
  host: string;
  /** `METHOD PATH` of every request. */
  requests: string[];
}

export interface FakeRequest {
  /** Without the `?ns=` that mirrors are sent. */
  path: string;
  url: string;
  headers: IncomingMessage['headers'];
  /** How many requests for the same path came before. */
  earlier: number;
  body: string;
}

/** @returns true when it has answered, or will */
export type Misbehaviour = (
  request: FakeRequest,
  response: ServerResponse,
  blob: Buffer | undefined,
) => boolean;

/** Serves the image of an OCI layout as repository `t` with every tag. @param tls PEM: speaks HTTPS */
export async function startFakeRegistry(
  t: TestContext,
  layout: string,
  misbehave: Misbehaviour = () => false,
  { tls }: { tls?: { cert: string; key: string } } = {},
): Promise<FakeRegistry> {
  const requests: string[] = [];
  const counts = new Map<string, number>();
  const listener = (message: IncomingMessage, response: ServerResponse) => {
    const path = message.url!.replace(/\?ns=.*/, '');
    requests.push(`${message.method} ${path}`);
    const earlier = counts.get(path) ?? 0;
    counts.set(path, earlier + 1);
    let body = '';
    message.on('data', (chunk) => (body += chunk));
    message.on('end', () => {
      const blob = contentOf(layout, path);
      const request = { path, url: message.url!, headers: message.headers, earlier, body };
      if (misbehave(request, response, blob)) return;
      if (blob === undefined)
        answer(response, 404, JSON.stringify({ errors: [{ code: 'MANIFEST_UNKNOWN' }] }));
      else serve(response, blob, message.headers.range);
    });
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
}

/** A server that gets the text of each request and answers in bytes of its own. @returns `127.0.0.1:PORT` */
export async function startRawServer(
  t: TestContext,
  respond: (socket: Socket, request: string) => void,
): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createRawServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    // The client may be gone before the answer is.
    socket.on('error', () => {});
    socket.on('data', (data) => respond(socket, data.toString('latin1')));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export function answer(
  response: ServerResponse,
  status: number,
  body: string | Buffer = '',
  headers: Record<string, string> = {},
): true {
  response.writeHead(status, { 'Content-Length': String(Buffer.byteLength(body)), ...headers }).end(body);
  return true;
}

/** Sends the first part of a body that was announced whole, and cuts the connection. */
export function cut(response: ServerResponse, blob: Buffer, at: number): true {
  response.writeHead(200, { 'Content-Length': String(blob.length) });
  response.write(blob.subarray(0, at), () => setTimeout(() => response.destroy(), 20));
  return true;
}

/** 401 with a challenge for tokens from `/token` at the same host. */
export function challenge(response: ServerResponse, host: string): true {
  const value = `Bearer realm="http://${host}/token",service="fake",scope="repository:t:pull"`;
  return answer(response, 401, '', { 'WWW-Authenticate': value });
}

function serve(response: ServerResponse, blob: Buffer, range: string | undefined): void {
  const from = /^bytes=([0-9]+)-$/.exec(range ?? '')?.[1];
  if (from === undefined) answer(response, 200, blob);
  else {
    const start = Number(from);
    answer(response, 206, blob.subarray(start), {
      'Content-Range': `bytes ${start}-${blob.length - 1}/${blob.length}`,
    });
  }
}

function contentOf(layout: string, path: string): Buffer | undefined {
  const match = /^(?:\/[a-z]+)?\/(?:v2\/)?t\/(?:manifests|blobs)\/(.+)$/.exec(path);
  if (match === null) return undefined;
  const digest = match[1]!.startsWith('sha256:')
    ? match[1]!
    : JSON.parse(readFileSync(`${layout}/index.json`, 'utf8')).manifests[0].digest;
  try {
    return readFileSync(`${layout}/blobs/${digest.replace(':', '/')}`);
  } catch {
    return undefined;
  }
}
