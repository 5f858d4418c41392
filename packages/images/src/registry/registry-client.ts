import { sha256Digest } from '../digest.ts';
import { ImageError } from '../errors.ts';
import { type Descriptor, maxManifestBytes } from '../manifest.ts';
import { mediaTypes } from '../media-types.ts';
import { Authorizer } from './authorizer.ts';
import type { Credentials } from './credentials.ts';
import {
  type HttpAnswer,
  type HttpConnections,
  printable,
  readShortBody,
  type ServerOptions,
} from './http-exchange.ts';
import type { RegistryHost } from './registry-hosts.ts';
import { isTemporary, isTemporaryError, type RetryPolicy, waitForRetry } from './retries.ts';

export interface RegistryClientOptions {
  host: RegistryHost;
  /** The registry as it stands in image names; mirrors are told (`?ns=`). */
  registry: string;
  repository: string;
  /** Asked when the server wants a login. */
  findCredentials: (signal: AbortSignal) => Promise<Credentials>;
  /** How to reach servers that this one sends us to. */
  otherServers: (url: URL) => ServerOptions;
  connections: HttpConnections;
  retries: RetryPolicy;
}

export interface FetchedManifest {
  bytes: Buffer;
  digest: string;
  contentType: string | undefined;
}

interface GetOptions {
  /** For messages: "get blob … from …". */
  what: string;
  signal: AbortSignal;
  headers?: Record<string, string>;
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
    const isDigest = reference.includes(':');
    const what = `get ${isDigest ? 'manifest' : 'tag'} ${reference} of ${this.#options.repository} from ${this.host}`;
    const path = `manifests/${reference}`;
    const { bytes, contentType } = await this.#getShort(path, { what, signal, headers: { Accept: accept } });
    const digest = sha256Digest(bytes);
    if (isDigest && reference !== digest)
      throw new ImageError('digest-mismatch', `${what}: what came has digest ${digest}`);
    return { bytes, digest, contentType };
  }

  /** A blob that is held in memory: a signature's payload. @throws ImageError not-found, digest-mismatch, … */
  async getSmallBlob({ digest }: Pick<Descriptor, 'digest'>, signal: AbortSignal): Promise<Buffer> {
    const what = `get blob ${digest} from ${this.host}`;
    const { bytes } = await this.#getShort(`blobs/${digest}`, { what, signal });
    const found = sha256Digest(bytes);
    if (found !== digest) throw new ImageError('digest-mismatch', `${what}: what came has digest ${found}`);
    return bytes;
  }

  /** The index of what refers to a manifest (distribution-spec, "Listing Referrers"). @throws ImageError not-found, … */
  async getReferrers(digest: string, signal: AbortSignal): Promise<Buffer> {
    const what = `get referrers of ${digest} from ${this.host}`;
    const headers = { Accept: mediaTypes.ociIndex };
    return (await this.#getShort(`referrers/${digest}`, { what, signal, headers })).bytes;
  }

  /**
   * GET below the repository, with logins, redirects and retries. Any answer that is neither temporary nor a login is given.
   * @throws ImageError registry-unavailable, unauthorized
   */
  get(path: string, options: GetOptions): Promise<HttpAnswer> {
    return this.#retried(path, options, async (answer) => answer);
  }

  /** The error for an answer that is no success. */
  async refused(answer: HttpAnswer, what: string): Promise<ImageError> {
    const cause = await this.#describe(answer);
    if (answer.status === 404)
      return new ImageError('not-found', `${what}: not found at ${this.host}: ${cause}`);
    if (answer.status === 403) return new ImageError('unauthorized', `${what}: ${cause}`);
    return new ImageError('registry-error', `${what}: ${cause}`);
  }

  /** A whole body, which is short; one that breaks off is asked for again. */
  #getShort(path: string, options: GetOptions): Promise<{ bytes: Buffer; contentType: string | undefined }> {
    return this.#retried(path, options, async (answer) => {
      if (answer.status !== 200) throw await this.refused(answer, options.what);
      // One more than allowed tells too long from just fitting.
      const bytes = await readShortBody(answer, maxManifestBytes + 1);
      if (bytes.length > maxManifestBytes)
        throw new ImageError('registry-error', `${options.what}: more than ${maxManifestBytes} bytes`);
      return { bytes, contentType: answer.headers['content-type'] };
    });
  }

  async #retried<T>(path: string, options: GetOptions, use: (answer: HttpAnswer) => Promise<T>): Promise<T> {
    const { what, signal } = options;
    const { retries } = this.#options;
    for (let failures = 1; ; failures++) {
      let cause: string;
      let retryAfter: string | undefined;
      try {
        const answer = await this.#follow(this.#url(path), options);
        if (!isTemporary(answer.status)) return await use(answer);
        retryAfter = answer.headers['retry-after'];
        cause = await this.#describe(answer);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof ImageError) throw error;
        cause = (error as Error).message || String((error as NodeJS.ErrnoException).code);
        if (!isTemporaryError(error)) throw unavailable(what, cause, error);
      }
      if (failures >= retries.attempts) throw unavailable(what, cause);
      await waitForRetry(retries, failures, { retryAfter, signal });
    }
  }

  async #follow(start: URL, options: GetOptions): Promise<HttpAnswer> {
    let url = start;
    for (let redirects = 0; redirects <= maxRedirects; redirects++) {
      const answer = await this.#logIn(url, options).catch((error: Error) => {
        if (url.host !== this.host && !(error instanceof ImageError))
          error.message = `${error.message} (redirected to ${url.host})`;
        throw error;
      });
      const { location } = answer.headers;
      if (answer.status < 300 || answer.status >= 400 || location === undefined) return answer;
      answer.body.resume();
      const next = URL.parse(location, url.href);
      if (next === null || !/^https?:$/.test(next.protocol)) {
        throw new ImageError('registry-error', `${options.what}: redirect to ${JSON.stringify(location)}`);
      }
      url = next;
    }
    throw new ImageError('registry-error', `${options.what}: more than ${maxRedirects} redirects`);
  }

  async #logIn(url: URL, { what, signal, headers }: GetOptions): Promise<HttpAnswer> {
    const authorizer = this.#authorizer(url);
    const { host, connections } = this.#options;
    let ownTokens = 0;
    for (let logins = 0; ; logins++) {
      const usedHeader = authorizer.header;
      const answer = await connections.send(
        url,
        {
          method: 'GET',
          headers: {
            ...(this.#isOurs(url) && host.headers),
            ...headers,
            ...(usedHeader && { Authorization: usedHeader }),
          },
          signal,
        },
        this.#serverOptions(url),
      );
      if (answer.status !== 401) return answer;
      const challenge = answer.headers['www-authenticate'] ?? '';
      const renewed =
        ownTokens < maxOwnTokens && logins < maxLogins
          ? await authorizer.renew(challenge, { usedHeader, signal })
          : 'refused';
      if (renewed === 'refused') {
        const hint = usedHeader === undefined ? '; no credentials for it' : '';
        throw new ImageError('unauthorized', `${what}: ${await this.#describe(answer)}${hint}`);
      }
      if (renewed === 'renewed') ownTokens += 1;
      answer.body.resume();
    }
  }

  /** Credentials go to the server that they are for; wherever it redirects to, we come as nobody (field case REG-02). */
  #authorizer(url: URL): Authorizer {
    let authorizer = this.#authorizers.get(url.origin);
    if (authorizer === undefined) {
      const { repository, connections, retries, findCredentials } = this.#options;
      authorizer = new Authorizer({
        repository,
        connections,
        retries,
        origin: new URL(url.origin),
        serverOptions: (server) => this.#serverOptions(server),
        ...(this.#isOurs(url) && { findCredentials }),
      });
      this.#authorizers.set(url.origin, authorizer);
    }
    return authorizer;
  }

  #isOurs(url: URL): boolean {
    return url.origin === this.#base.origin;
  }

  #serverOptions(url: URL): ServerOptions {
    return this.#isOurs(url) ? this.#options.host : this.#options.otherServers(url);
  }

  #url(path: string): URL {
    const { host, registry, repository } = this.#options;
    const prefix = this.#base.pathname.replace(/\/+$/, '');
    const root = host.overridePath || prefix.endsWith('/v2') ? prefix : `${prefix}/v2`;
    const url = new URL(`${this.#base.origin}${root}/${repository}/${path}`);
    const isMirror =
      this.#base.host !== registry &&
      !(registry === 'docker.io' && this.#base.host === 'registry-1.docker.io');
    if (isMirror) url.searchParams.set('ns', registry);
    return url;
  }

  /** Status and the registry's own words (distribution-spec, "Error Codes"). */
  async #describe(answer: HttpAnswer): Promise<string> {
    const text = (await readShortBody(answer).catch(() => Buffer.alloc(0))).toString('utf8');
    const status = `${answer.status} ${answer.body.statusMessage ?? ''}`.trim();
    const words = wordsOf(text);
    const where = answer.url.host === this.host ? '' : ` from ${answer.url.host}, where it redirects to`;
    return printable(`${status}${where}${words === '' ? '' : `: ${words}`}`);
  }
}

function wordsOf(text: string): string {
  try {
    const { errors } = JSON.parse(text) as { errors?: { code?: unknown; message?: unknown }[] };
    if (Array.isArray(errors) && errors.length > 0) {
      return errors
        .map(({ code, message }) => [code, message].filter((part) => typeof part === 'string').join(': '))
        .join('; ')
        .slice(0, 1000);
    }
  } catch {
    // Not JSON: shown as it is.
  }
  return text.trim().slice(0, 300);
}

function unavailable(what: string, cause: string, error?: unknown): ImageError {
  return new ImageError('registry-unavailable', `${what}: ${cause}`, { cause: error });
}
