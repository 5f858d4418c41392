import http from 'node:http';
import https from 'node:https';
import { ImageError } from '../errors.ts';
import { isLoopbackHost } from '../reference.ts';

/** How to reach one server, beyond its address. */
export interface TlsOptions {
  /** PEM. */
  ca?: string[];
  /** PEM: certificate and key of ours. */
  client?: { cert: string; key: string };
  skipVerify?: boolean;
}

export interface HttpRequest {
  method: 'GET' | 'HEAD' | 'POST';
  headers: Record<string, string>;
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
const maxErrorBytes = 64 * 1024;

/** Connections to registries, kept open for a while between requests. */
export class HttpConnections implements Disposable {
  readonly #agents = new Map<string, http.Agent>();
  readonly #progressTimeoutMs: number;

  /** @param progressTimeoutMs a request that moves no byte for so long is given up; there is no limit for the whole */
  constructor({ progressTimeoutMs }: { progressTimeoutMs: number }) {
    this.#progressTimeoutMs = progressTimeoutMs;
  }

  /** Sends one request; redirects and errors are the caller's. @throws errors of node:net, the signal's reason */
  send(url: URL, { method, headers, body, signal }: HttpRequest, tls: TlsOptions = {}): Promise<HttpAnswer> {
    const isHttps = url.protocol === 'https:';
    if (!isHttps && url.protocol !== 'http:')
      throw new ImageError('registry-error', `open ${url}: not a web address`);
    return new Promise((resolve, reject) => {
      const request = (isHttps ? https : http).request(url, {
        method,
        headers: { 'User-Agent': 'amphipod', ...headers },
        agent: this.#agent(url, tls),
        timeout: this.#progressTimeoutMs,
        ...(signal && { signal }),
      });
      request.once('response', (message) => {
        resolve({ url, status: message.statusCode!, headers: message.headers, body: message });
      });
      request.on('timeout', () => request.destroy(timeoutError(url, this.#progressTimeoutMs)));
      request.on('error', (error) => reject(signal?.aborted ? signal.reason : error));
      request.end(body);
    });
  }

  [Symbol.dispose](): void {
    for (const agent of this.#agents.values()) agent.destroy();
  }

  #agent(url: URL, tls: TlsOptions): http.Agent {
    const key = `${url.origin} ${JSON.stringify(tls)}`;
    let agent = this.#agents.get(key);
    if (agent === undefined) {
      const options = {
        keepAlive: true,
        timeout: freeSocketMs,
        // A proxy has no way to this machine.
        ...(!isLoopbackHost(url.host) && { proxyEnv: process.env }),
      };
      agent =
        url.protocol === 'http:'
          ? new http.Agent(options)
          : new https.Agent({
              ...options,
              ...(tls.ca && { ca: tls.ca }),
              ...tls.client,
              rejectUnauthorized: tls.skipVerify !== true,
            });
      this.#agents.set(key, agent);
    }
    return agent;
  }
}

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

function timeoutError(url: URL, timeoutMs: number): Error {
  return Object.assign(new Error(`no byte from ${url.host} for ${timeoutMs / 1000} s`), {
    code: 'ETIMEDOUT',
  });
}
