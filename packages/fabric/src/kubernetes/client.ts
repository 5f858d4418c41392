import http from 'node:http';
import https from 'node:https';
import { isCode } from '@amphipod/linux';
import { FabricError } from '../errors.ts';
import { KubernetesApiError, type KubernetesStatus } from './api-error.ts';
import type { KubernetesConfig, KubernetesCredentials } from './config.ts';

const TIMEOUT_MS = 15_000;
/** A peer that is gone is noticed within 10 s more: the kernel then asks each second, ten times. */
const KEEP_ALIVE_MS = 10_000;
const MAX_ERROR_BYTES = 64 * 1024;

export type KubernetesQuery = Readonly<Record<string, string | number | boolean>>;

export interface KubernetesRequest {
  /** For errors: `get node "a"`. */
  what: string;
  /** Below the server's address: `/api/v1/nodes`. */
  path: string;
  query?: KubernetesQuery;
  signal?: AbortSignal | undefined;
}

export interface KubernetesPatch extends KubernetesRequest {
  /** A strategic merge patch. */
  body: object;
}

/** A line of a watch. */
export interface KubernetesWatchLine {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  object: object;
}

/**
 * Calls to a Kubernetes API server over HTTP/1.1, with JSON.
 *
 * Errors of all calls: {@link KubernetesApiError} for a refusal, FabricError `unavailable` when the server does not answer,
 * `datastore-error` for an answer that cannot be used, the signal's reason when it aborts.
 */
export class KubernetesClient implements Disposable {
  readonly #config: KubernetesConfig;
  readonly #timeoutMs: number;
  #agent: http.Agent | undefined;
  /** What the agent was made with. */
  #agentKey = '';

  /** @param options.timeoutMs of a call, and of the beginning of a watch; 15 s unless given */
  constructor(config: KubernetesConfig, { timeoutMs = TIMEOUT_MS }: { timeoutMs?: number } = {}) {
    this.#config = config;
    this.#timeoutMs = timeoutMs;
  }

  get<T>(request: KubernetesRequest): Promise<T> {
    return this.#call('GET', request);
  }

  patch<T>(request: KubernetesPatch): Promise<T> {
    return this.#call('PATCH', request, JSON.stringify(request.body));
  }

  /** Begins a watch; its lines end when the server or the signal ends it, with an error when the connection breaks. */
  async watch(request: KubernetesRequest): Promise<AsyncIterable<KubernetesWatchLine>> {
    const { what, signal } = request;
    const answer = await this.#exchange('GET', request, undefined, async (message) => message);
    return watchLines(answer, { what, signal });
  }

  [Symbol.dispose](): void {
    this.#agent?.destroy();
  }

  #call<T>(method: string, request: KubernetesRequest, body?: string): Promise<T> {
    return this.#exchange(method, request, body, async (message) => {
      const text = await readText(message);
      try {
        return JSON.parse(text) as T;
      } catch (cause) {
        throw new FabricError('datastore-error', `${request.what}: the answer is no JSON`, { cause });
      }
    });
  }

  /** Sends a request and has the answer read; all of it within the time limit. */
  async #exchange<T>(
    method: string,
    request: KubernetesRequest,
    body: string | undefined,
    read: (message: http.IncomingMessage) => Promise<T>,
  ): Promise<T> {
    const { what, signal } = request;
    const timeout = new AbortController();
    const timer = setTimeout(
      () => timeout.abort(new Error(`no answer within ${this.#timeoutMs} ms`)),
      this.#timeoutMs,
    );
    const ends = signal === undefined ? timeout.signal : AbortSignal.any([signal, timeout.signal]);
    try {
      ends.throwIfAborted();
      const message = await this.#send(method, request, { body, signal: ends });
      if (message.statusCode! >= 300) throw new KubernetesApiError(what, await readStatus(message));
      return await read(message);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof FabricError) throw error;
      const cause = timeout.signal.aborted ? timeout.signal.reason : error;
      const text = `${what}: the API server at ${this.#config.server.href} does not answer: ${(cause as Error).message}`;
      throw new FabricError('unavailable', text, { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  #send(
    method: string,
    { path, query = {} }: Pick<KubernetesRequest, 'path' | 'query'>,
    { body, signal }: { body: string | undefined; signal: AbortSignal },
  ): Promise<http.IncomingMessage> {
    const { server } = this.#config;
    const credentials = this.#config.credentials();
    const url = new URL(server.href.replace(/\/$/, '') + path);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, String(value));
    const { token } = credentials;
    return new Promise((resolve, reject) => {
      const request = (server.protocol === 'https:' ? https : http).request(url, {
        method,
        signal,
        agent: this.#agentFor(credentials),
        headers: {
          Accept: 'application/json',
          'User-Agent': 'amphipod',
          ...(token !== undefined && { Authorization: `Bearer ${token}` }),
          ...(body !== undefined && { 'Content-Type': 'application/strategic-merge-patch+json' }),
        },
      });
      request.on('response', resolve);
      request.on('error', (error) => {
        // The server has closed a connection that we had kept; all our calls may be made twice.
        const isStale = request.reusedSocket && isCode(error, 'ECONNRESET') && !signal.aborted;
        if (isStale) resolve(this.#send(method, { path, query }, { body, signal }));
        else reject(error);
      });
      request.end(body);
    });
  }

  /** Connections of one identity; a certificate that was replaced gets connections of its own. */
  #agentFor({ ca, cert, key }: KubernetesCredentials): http.Agent {
    const agentKey = JSON.stringify([ca, cert, key]);
    if (this.#agent === undefined || this.#agentKey !== agentKey) {
      const { server, tlsServerName, skipTlsVerify } = this.#config;
      const options = { keepAlive: true, keepAliveMsecs: KEEP_ALIVE_MS };
      // A watch that is still open keeps its connection of before.
      this.#agent =
        server.protocol === 'http:'
          ? new http.Agent(options)
          : new https.Agent({
              ...options,
              ...(ca !== undefined && { ca }),
              ...(cert !== undefined && { cert, key }),
              ...(tlsServerName !== undefined && { servername: tlsServerName }),
              rejectUnauthorized: !skipTlsVerify,
            });
      this.#agentKey = agentKey;
    }
    return this.#agent;
  }
}

async function readText(message: http.IncomingMessage, maxBytes = Number.POSITIVE_INFINITY): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > maxBytes) break;
  }
  return Buffer.concat(chunks).toString();
}

/** Proxies and load balancers in front of the server answer with something else than a Status. */
async function readStatus(message: http.IncomingMessage): Promise<KubernetesStatus & { code: number }> {
  const code = message.statusCode!;
  const text = await readText(message, MAX_ERROR_BYTES);
  const retryAfterSeconds = Number(message.headers['retry-after'] ?? 0) || 0;
  try {
    const status = JSON.parse(text) as KubernetesStatus;
    return { ...status, code, details: { retryAfterSeconds, ...status.details } };
  } catch {
    return { code, message: text.slice(0, 200), details: { retryAfterSeconds } };
  }
}

/** The request's own signal ends the message too. */
async function* watchLines(
  message: http.IncomingMessage,
  { what, signal }: { what: string; signal: AbortSignal | undefined },
): AsyncGenerator<KubernetesWatchLine, void> {
  message.setEncoding('utf8');
  let rest = '';
  try {
    for await (const chunk of message as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop()!;
      for (const line of lines) yield JSON.parse(line) as KubernetesWatchLine;
    }
  } catch (cause) {
    signal?.throwIfAborted();
    throw new FabricError('unavailable', `${what}: the connection broke: ${(cause as Error).message}`, {
      cause,
    });
  } finally {
    message.destroy();
  }
}
