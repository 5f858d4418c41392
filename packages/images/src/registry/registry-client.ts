import { createHash } from 'node:crypto';
import { ImageError } from '../errors.ts';
import { maxManifestBytes } from '../manifest.ts';
import { mediaTypes } from '../media-types.ts';
import { Authorizer } from './authorizer.ts';
import type { Credentials } from './credentials.ts';
import { type HttpAnswer, type HttpConnections, readShortBody } from './http-exchange.ts';
import type { RegistryHost } from './registry-hosts.ts';
import { isTemporary, isTemporaryError, type RetryPolicy, waitForRetry } from './retries.ts';

export interface RegistryClientOptions {
  host: RegistryHost;
  /** The registry as it stands in image names; mirrors are told (`?ns=`). */
  registry: string;
  repository: string;
  credentials: Credentials;
  connections: HttpConnections;
  retries: RetryPolicy;
}

export interface FetchedManifest {
  bytes: Buffer;
  digest: string;
  contentType: string | undefined;
}

const accept = [
  mediaTypes.ociIndex,
  mediaTypes.ociManifest,
  mediaTypes.dockerIndex,
  mediaTypes.dockerManifest,
  '*/*;q=0.1',
].join(', ');
const maxRedirects = 10;
/** A token that we got ourselves may be used up by others before its first use. */
const maxOwnTokens = 2;
const maxLogins = 20;

/** One repository at one server (OCI distribution-spec, pulling). */
export class RegistryClient {
  readonly #options: RegistryClientOptions;
  readonly #base: URL;
  readonly #authorizers = new Map<string, Authorizer>();

  constructor(options: RegistryClientOptions) {
    this.#options = options;
    this.#base = new URL(options.host.url);
  }

  /** Host with port, for messages. */
  get host(): string {
    return this.#base.host;
  }

  /** @param reference tag or digest @throws ImageError not-found, digest-mismatch, … */
  async getManifest(reference: string, signal: AbortSignal): Promise<FetchedManifest> {
    const kind = reference.includes(':') ? 'manifest' : 'tag';
    const what = `get ${kind} ${reference} of ${this.#options.repository} from ${this.host}`;
    const answer = await this.get(`manifests/${reference}`, { what, signal, headers: { Accept: accept } });
    if (answer.status !== 200) throw await this.refused(answer, what);
    // One more than allowed tells too long from just fitting.
    const bytes = await readShortBody(answer, maxManifestBytes + 1);
    if (bytes.length > maxManifestBytes)
      throw new ImageError('registry-error', `${what}: more than ${maxManifestBytes} bytes`);
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    if (reference.includes(':') && reference !== digest) {
      throw new ImageError('digest-mismatch', `${what}: what came has digest ${digest}`);
    }
    return { bytes, digest, contentType: answer.headers['content-type'] };
  }

  /**
   * GET below the repository, with logins, redirects and retries. Any answer that is neither temporary nor a login is given.
   * @param what for messages: "get blob … from …" @throws ImageError registry-unavailable, unauthorized
   */
  async get(
    path: string,
    { what, signal, headers = {} }: { what: string; signal: AbortSignal; headers?: Record<string, string> },
  ): Promise<HttpAnswer> {
    for (let failures = 1; ; failures++) {
      let cause: string;
      let retryAfter: string | undefined;
      try {
        const answer = await this.#follow(this.#url(path), { what, signal, headers });
        if (!isTemporary(answer.status)) return answer;
        retryAfter = answer.headers['retry-after'];
        cause = await describe(answer);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof ImageError) throw error;
        cause = (error as Error).message || String((error as NodeJS.ErrnoException).code);
        if (!isTemporaryError(error)) throw unavailable(what, cause, error);
      }
      if (failures >= this.#options.retries.attempts) throw unavailable(what, cause);
      await waitForRetry(this.#options.retries, failures, { retryAfter, signal });
    }
  }

  /** The error for an answer that is no success. */
  async refused(answer: HttpAnswer, what: string): Promise<ImageError> {
    const cause = await describe(answer);
    if (answer.status === 404)
      return new ImageError('not-found', `${what}: not found at ${this.host}: ${cause}`);
    if (answer.status === 403) return new ImageError('unauthorized', `${what}: ${cause}`);
    return new ImageError('registry-error', `${what}: ${cause}`);
  }

  async #follow(
    start: URL,
    { what, signal, headers }: { what: string; signal: AbortSignal; headers: Record<string, string> },
  ): Promise<HttpAnswer> {
    let url = start;
    for (let redirects = 0; redirects <= maxRedirects; redirects++) {
      const answer = await this.#logIn(url, { what, signal, headers });
      const { location } = answer.headers;
      if (answer.status < 300 || answer.status >= 400 || location === undefined) return answer;
      answer.body.resume();
      const next = URL.parse(location, url.href);
      if (next === null || !/^https?:$/.test(next.protocol)) {
        throw new ImageError('registry-error', `${what}: redirect to ${JSON.stringify(location)}`);
      }
      url = next;
    }
    throw new ImageError('registry-error', `${what}: more than ${maxRedirects} redirects`);
  }

  async #logIn(
    url: URL,
    { what, signal, headers }: { what: string; signal: AbortSignal; headers: Record<string, string> },
  ): Promise<HttpAnswer> {
    const authorizer = this.#authorizer(url);
    const isOurs = url.origin === this.#base.origin;
    let ownTokens = 0;
    for (let logins = 0; ; logins++) {
      const header = authorizer.header;
      const answer = await this.#options.connections.send(
        url,
        {
          method: 'GET',
          headers: {
            ...(isOurs && this.#options.host.headers),
            ...headers,
            ...(header && { Authorization: header }),
          },
          signal,
        },
        isOurs ? this.#options.host.tls : {},
      );
      if (answer.status !== 401) return answer;
      const renewed =
        ownTokens < maxOwnTokens && logins < maxLogins
          ? await authorizer.renew(answer.headers['www-authenticate'] ?? '', header)
          : 'refused';
      if (renewed === 'refused') {
        throw new ImageError('unauthorized', `${what}: ${await describe(answer)}`);
      }
      if (renewed === 'renewed') ownTokens += 1;
      answer.body.resume();
    }
  }

  /** Credentials go to the server that they are for; wherever it redirects to, we come as nobody (field case REG-02). */
  #authorizer(url: URL): Authorizer {
    let authorizer = this.#authorizers.get(url.origin);
    if (authorizer === undefined) {
      const isOurs = url.origin === this.#base.origin;
      authorizer = new Authorizer({
        ...this.#options,
        origin: new URL(url.origin),
        credentials: isOurs ? this.#options.credentials : { kind: 'none' },
        tls: (isOurs ? this.#options.host.tls : undefined) ?? {},
      });
      this.#authorizers.set(url.origin, authorizer);
    }
    return authorizer;
  }

  #url(path: string): URL {
    const { host, registry, repository } = this.#options;
    const prefix = this.#base.pathname.replace(/\/+$/, '');
    const url = new URL(
      `${this.#base.origin}${prefix}${host.overridePath ? '' : '/v2'}/${repository}/${path}`,
    );
    const isMirror =
      this.#base.host !== registry &&
      !(registry === 'docker.io' && this.#base.host === 'registry-1.docker.io');
    if (isMirror) url.searchParams.set('ns', registry);
    return url;
  }
}

/** Status and the registry's own words (distribution-spec, "Error Codes"). */
async function describe(answer: HttpAnswer): Promise<string> {
  const text = (await readShortBody(answer).catch(() => Buffer.alloc(0))).toString('utf8');
  let words = text.trim().slice(0, 300);
  try {
    const { errors } = JSON.parse(text) as { errors?: { code?: unknown; message?: unknown }[] };
    if (Array.isArray(errors) && errors.length > 0) {
      words = errors
        .map(({ code, message }) => [code, message].filter((part) => typeof part === 'string').join(': '))
        .join('; ');
    }
  } catch {
    // Not JSON: shown as it is.
  }
  const status = `${answer.status} ${answer.body.statusMessage ?? ''}`.trim();
  return words === '' ? status : `${status}: ${words.slice(0, 1000)}`;
}

function unavailable(what: string, cause: string, error?: unknown): ImageError {
  return new ImageError('registry-unavailable', `${what}: ${cause}`, { cause: error });
}
