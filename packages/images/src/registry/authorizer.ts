import { ImageError } from '../errors.ts';
import { SharedTasks } from '../store/shared-tasks.ts';
import { parseChallenges } from './challenge.ts';
import { type Credentials, noCredentials } from './credentials.ts';
import {
  type HttpAnswer,
  type HttpConnections,
  type HttpRequest,
  printable,
  readShortBody,
  type ServerOptions,
} from './http-exchange.ts';
import { isTemporary, isTemporaryError, type RetryPolicy, waitForRetry } from './retries.ts';

const maxRedirects = 5;

export interface AuthorizerOptions {
  origin: URL;
  repository: string;
  /** Asked at the first challenge. */
  findCredentials?: (signal: AbortSignal) => Promise<Credentials>;
  /** How to reach this server, and the token server it names. */
  serverOptions: (url: URL) => ServerOptions;
  connections: HttpConnections;
  retries: RetryPolicy;
}

/** Logs in to one server for one repository: answers its challenges, keeps the token until it is refused. */
export class Authorizer {
  readonly #options: AuthorizerOptions;
  readonly #renewals = new SharedTasks<boolean>({ failsForAll: true });
  #credentials: Credentials | undefined;
  #header: string | undefined;

  constructor(options: AuthorizerOptions) {
    this.#options = options;
  }

  /** Value for the Authorization header, if there is one by now. */
  get header(): string | undefined {
    return this.#header;
  }

  /**
   * After a 401 for a request that had carried `usedHeader`: gets something better. Requests that are refused at the same time
   * share one answer.
   * @returns false when there is nothing better @throws ImageError unauthorized, registry-unavailable; the signal's reason
   */
  async renew(
    challenge: string,
    { usedHeader, signal }: { usedHeader: string | undefined; signal: AbortSignal },
  ): Promise<'renewed' | 'was-renewed' | 'refused'> {
    // Another request has done it meanwhile.
    if (this.#header !== usedHeader) return 'was-renewed';
    let isOwn = false;
    const isBetter = await this.#renewals.run('', { signal }, (shared) => {
      isOwn = true;
      return this.#answer(challenge, shared);
    });
    if (!isBetter) return 'refused';
    return isOwn ? 'renewed' : 'was-renewed';
  }

  async #answer(header: string, signal: AbortSignal): Promise<boolean> {
    const credentials = await this.#findCredentials(signal);
    const challenges = parseChallenges(header);
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    if (credentials.kind === 'bearer') {
      if (bearer === undefined) return false;
      return this.#use(`Bearer ${credentials.token}`);
    }
    if (bearer?.params.realm !== undefined)
      return this.#use(`Bearer ${await this.#token(bearer.params.realm, bearer.params, signal)}`);
    if (!challenges.some(({ scheme }) => scheme === 'basic') || credentials.kind !== 'basic') return false;
    return this.#use(basic(credentials));
  }

  #use(header: string): boolean {
    const isNew = this.#header !== header;
    this.#header = header;
    return isNew;
  }

  async #findCredentials(signal: AbortSignal): Promise<Credentials> {
    this.#credentials ??= (await this.#options.findCredentials?.(signal)) ?? noCredentials;
    return this.#credentials;
  }

  /** Distribution's token protocol (distribution docs, "Token Authentication Specification", and its OAuth2 form). */
  #token(realm: string, params: Record<string, string>, signal: AbortSignal): Promise<string> {
    const credentials = this.#credentials!;
    const url = this.#realmUrl(realm, credentials);
    const fields = new URLSearchParams();
    if (params.service !== undefined) fields.set('service', params.service);
    const scope = params.scope ?? `repository:${this.#options.repository}:pull`;
    if (credentials.kind === 'identity') {
      fields.set('scope', scope);
      fields.set('grant_type', 'refresh_token');
      fields.set('refresh_token', credentials.token);
      fields.set('client_id', 'amphipod');
      const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
      return this.#requestToken(url, { method: 'POST', headers, body: fields.toString(), signal });
    }
    for (const one of scope.split(' ')) if (one !== '') fields.append('scope', one);
    for (const [key, value] of fields) url.searchParams.append(key, value);
    if (credentials.kind !== 'basic') return this.#requestToken(url, { method: 'GET', headers: {}, signal });
    url.searchParams.set('account', credentials.username);
    const headers = { Authorization: basic(credentials) };
    return this.#requestToken(url, { method: 'GET', headers, signal });
  }

  async #requestToken(url: URL, request: HttpRequest & { signal: AbortSignal }): Promise<string> {
    const { origin, repository, retries } = this.#options;
    const what = `get token from ${url.host} for ${origin.host}/${repository}`;
    for (let failures = 1; ; failures++) {
      let cause: string;
      let retryAfter: string | undefined;
      try {
        const answer = await this.#send(url, request);
        const body = await readShortBody(answer);
        if (answer.status === 200) return tokenOf(body, what);
        cause = printable(`${answer.status}: ${body.toString('utf8').trim().slice(0, 500)}`);
        retryAfter = answer.headers['retry-after'];
        if (!isTemporary(answer.status)) throw new ImageError('unauthorized', `${what}: ${cause}`);
      } catch (error) {
        request.signal.throwIfAborted();
        if (error instanceof ImageError) throw error;
        cause = (error as Error).message || String((error as NodeJS.ErrnoException).code);
        if (!isTemporaryError(error))
          throw new ImageError('registry-unavailable', `${what}: ${cause}`, { cause: error });
      }
      if (failures >= retries.attempts) throw new ImageError('registry-unavailable', `${what}: ${cause}`);
      await waitForRetry(retries, failures, { retryAfter, signal: request.signal });
    }
  }

  /** Sends a request, and follows where it is redirected to; credentials stay with the server they are for. */
  async #send(url: URL, request: HttpRequest): Promise<HttpAnswer> {
    const { connections, serverOptions } = this.#options;
    let [at, left] = [url, maxRedirects];
    for (;;) {
      const { Authorization, ...others } = request.headers;
      const headers = at.origin === url.origin && Authorization ? { ...others, Authorization } : others;
      const answer = await connections.send(at, { ...request, headers }, serverOptions(at));
      const next = URL.parse(answer.headers.location ?? '', at.href);
      // A refresh token stands in the body of a POST, which goes nowhere else.
      const isRedirect = answer.status >= 300 && answer.status < 400 && request.method === 'GET';
      if (!isRedirect || next === null || !/^https?:$/.test(next.protocol) || left === 0) return answer;
      answer.body.resume();
      [at, left] = [next, left - 1];
    }
  }

  #realmUrl(realm: string, credentials: Credentials): URL {
    const { origin } = this.#options;
    const url = URL.parse(realm, origin.href);
    if (url === null || !/^https?:$/.test(url.protocol))
      throw new ImageError('registry-error', `log in to ${origin.host}: bad realm ${JSON.stringify(realm)}`);
    if (origin.protocol === 'https:' && url.protocol !== 'https:' && credentials.kind !== 'none') {
      const text = `it wants the credentials sent to ${url.origin} without encryption`;
      throw new ImageError('unauthorized', `log in to ${origin.host}: ${text}`);
    }
    return url;
  }
}

function tokenOf(body: Buffer, what: string): string {
  try {
    const { token, access_token: accessToken } = JSON.parse(body.toString('utf8')) as Record<string, unknown>;
    // Header values cannot hold line breaks: node:http would throw at each later request.
    for (const value of [token, accessToken])
      if (typeof value === 'string' && /^[\x21-\x7e]+$/.test(value)) return value;
  } catch {
    // Said below.
  }
  throw new ImageError('registry-error', `${what}: the answer has no token`);
}

function basic({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}
