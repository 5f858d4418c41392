import http from 'node:http';
import https from 'node:https';
import { createSecureContext, getCACertificates } from 'node:tls';
import { ImageError } from '../errors.ts';
import { proxyFor } from './proxy.ts';

/** How to reach one server over TLS. */
export interface TlsOptions {
  /** PEM: trusted beside the system's certificates. */
  ca?: string[];
  /** PEM: certificates and keys of ours, for servers that ask for one. */
  client?: { cert: string; key: string }[];
  skipVerify?: boolean;
}

/** How to reach one server, beyond its address. */
export interface ServerOptions {
  tls?: TlsOptions | undefined;
  /** For name resolution, connection and TLS handshake together. Default 30 s. */
  dialTimeoutMs?: number | undefined;
}

export interface HttpRequest {
  method: 'GET' | 'HEAD' | 'POST';
  headers: Record<string, string | string[]>;
  body?: string;
  signal?: AbortSignal;
}

/** The answer; its body must be read or destroyed. */
export interface HttpAnswer {
  url: URL;
  status: number;
  headers: http.IncomingHttpHeaders;
  body: http.IncomingMessage;
}

const freeSocketMs = 5_000;
const defaultDialTimeoutMs = 30_000;
const maxErrorBytes = 64 * 1024;

/** Connections to registries, kept open for a while between requests. */
export class HttpConnections implements Disposable {
  readonly #agents = new Map<string, http.Agent>();
  readonly #progressTimeoutMs: number;
  readonly #env: NodeJS.ProcessEnv;

  /**
   * @param progressTimeoutMs a request that moves no byte for so long is given up; there is no limit for the whole
   * @param env has HTTP_PROXY, HTTPS_PROXY and NO_PROXY
   */
  constructor({
    progressTimeoutMs,
    env = process.env,
  }: {
    progressTimeoutMs: number;
    env?: NodeJS.ProcessEnv | undefined;
  }) {
    this.#progressTimeoutMs = progressTimeoutMs;
    this.#env = env;
  }

  /** Sends one request; redirects and errors are the caller's. @throws errors of node:net, the signal's reason */
  send(
    url: URL,
    { method, headers, body, signal }: HttpRequest,
    { tls = {}, dialTimeoutMs = defaultDialTimeoutMs }: ServerOptions = {},
  ): Promise<HttpAnswer> {
    const isHttps = url.protocol === 'https:';
    if (!isHttps && url.protocol !== 'http:')
      throw new ImageError('registry-error', `open ${url.protocol}//${url.host}: not a web address`);
    const proxy = proxyFor(url, this.#env);
    return new Promise((resolve, reject) => {
      const request = (isHttps ? https : http).request(url, {
        method,
        headers: { 'User-Agent': 'amphipod', ...headers },
        agent: this.#agent(url, tls, proxy),
        timeout: this.#progressTimeoutMs,
        ...(signal && { signal }),
      });
      const dialing = setTimeout(
        () => request.destroy(timeoutError(`no connection to ${url.host} within`, dialTimeoutMs)),
        dialTimeoutMs,
      );
      const connected = () => clearTimeout(dialing);
      request.once('socket', (socket) => {
        if (socket.connecting) socket.once(isHttps ? 'secureConnect' : 'connect', connected);
        else connected();
      });
      request.once('response', (message) => {
        connected();
        resolve({ url, status: message.statusCode!, headers: message.headers, body: message });
      });
      request.on('timeout', () =>
        request.destroy(timeoutError(`no byte from ${url.host} for`, this.#progressTimeoutMs)),
      );
      request.on('error', (error) => {
        connected();
        reject(signal?.aborted ? signal.reason : throughProxy(error, proxy));
      });
      request.end(body);
    });
  }

  [Symbol.dispose](): void {
    for (const agent of this.#agents.values()) agent.destroy();
  }

  #agent(url: URL, tls: TlsOptions, proxy: URL | undefined): http.Agent {
    const key = `${url.origin} ${proxy?.href} ${JSON.stringify(tls)}`;
    let agent = this.#agents.get(key);
    if (agent === undefined) {
      const options = {
        keepAlive: true,
        timeout: freeSocketMs,
        ...(proxy && { proxyEnv: { [url.protocol === 'http:' ? 'HTTP_PROXY' : 'HTTPS_PROXY']: proxy.href } }),
      };
      agent =
        url.protocol === 'http:'
          ? new http.Agent(options)
          : new https.Agent({ ...options, ...secureOptions(tls, url) });
      this.#agents.set(key, agent);
    }
    return agent;
  }
}

/** One context for all connections of an agent: making one reads every certificate of the system. */
function secureOptions(tls: TlsOptions, url: URL): https.AgentOptions {
  // Each is there several times: in the bundle, as a file, behind a link by its hash.
  systemRoots ??= [...new Set(getCACertificates('system'))];
  // The bundled ones are for machines without the package ca-certificates.
  const roots = systemRoots.length > 0 ? systemRoots : getCACertificates('bundled');
  try {
    return {
      secureContext: createSecureContext({
        ca: [...roots, ...(tls.ca ?? [])],
        ...(tls.client && {
          cert: tls.client.map(({ cert }) => cert),
          key: tls.client.map(({ key }) => key),
        }),
      }),
      rejectUnauthorized: tls.skipVerify !== true,
    };
  } catch (cause) {
    const text = `set up TLS for ${url.host}: ${(cause as Error).message}`;
    throw new ImageError('invalid-registry-config', text, { cause });
  }
}

let systemRoots: string[] | undefined;

/** The start of an answer's body, for error messages and tokens. Longer ones are cut off. */
export async function readShortBody({ body }: HttpAnswer, maxBytes = maxErrorBytes): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    // Leaving the loop destroys the body and its connection.
    if (size >= maxBytes) break;
  }
  return Buffer.concat(chunks).subarray(0, maxBytes);
}

/** A server's words without what a terminal would obey. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]+/gu, ' ');
}

function timeoutError(text: string, timeoutMs: number): Error {
  return Object.assign(new Error(`${text} ${timeoutMs / 1000} s`), { code: 'ETIMEDOUT' });
}

/** Whoever reads "connection refused" must see whose. */
function throughProxy(error: Error, proxy: URL | undefined): Error {
  if (proxy !== undefined && !error.message.includes(proxy.host))
    error.message = `${error.message} (through proxy ${proxy.host})`;
  return error;
}
