import { ImageError } from '../errors.ts';
import { parseChallenges } from './challenge.ts';
import type { Credentials } from './credentials.ts';
import { type HttpConnections, type HttpRequest, readShortBody, type TlsOptions } from './http-exchange.ts';
import { isTemporary, isTemporaryError, type RetryPolicy, waitForRetry } from './retries.ts';

/** Logs in to one server for one repository: answers its challenges, keeps the token until it is refused. */
export class Authorizer {
  readonly #origin: URL;
  readonly #credentials: Credentials;
  readonly #repository: string;
  readonly #tls: TlsOptions;
  readonly #connections: HttpConnections;
  readonly #retries: RetryPolicy;
  #header: string | undefined;
  #renewal: Promise<void> | undefined;

  constructor(options: {
    origin: URL;
    credentials: Credentials;
    repository: string;
    tls: TlsOptions;
    connections: HttpConnections;
    retries: RetryPolicy;
  }) {
    this.#origin = options.origin;
    this.#credentials = options.credentials;
    this.#repository = options.repository;
    this.#tls = options.tls;
    this.#connections = options.connections;
    this.#retries = options.retries;
    if (options.credentials.kind === 'bearer') this.#header = `Bearer ${options.credentials.token}`;
  }

  /** Value for the Authorization header, if there is one by now. */
  get header(): string | undefined {
    return this.#header;
  }

  /**
   * After a 401 for a request that had carried `usedHeader`: gets something better.
   * @returns false when there is nothing better @throws ImageError unauthorized, registry-unavailable
   */
  async renew(
    challenge: string,
    usedHeader: string | undefined,
  ): Promise<'renewed' | 'was-renewed' | 'refused'> {
    // Another request has done it meanwhile.
    if (this.#header !== usedHeader) return 'was-renewed';
    if (this.#renewal !== undefined) {
      await this.#renewal;
      return 'was-renewed';
    }
    const work = this.#answer(challenge);
    this.#renewal = work.then(() => {});
    // Those who wait see the failure; when nobody does, it is not unhandled.
    this.#renewal.catch(() => {});
    try {
      return (await work) ? 'renewed' : 'refused';
    } finally {
      this.#renewal = undefined;
    }
  }

  async #answer(header: string): Promise<boolean> {
    const challenges = parseChallenges(header);
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    if (bearer?.params.realm !== undefined) {
      if (this.#credentials.kind === 'bearer') return false;
      this.#header = `Bearer ${await this.#token(bearer.params.realm, bearer.params)}`;
      return true;
    }
    if (!challenges.some(({ scheme }) => scheme === 'basic') || this.#credentials.kind !== 'basic')
      return false;
    const value = basic(this.#credentials);
    if (this.#header === value) return false;
    this.#header = value;
    return true;
  }

  /** Distribution's token protocol (distribution docs, "Token Authentication Specification", and its OAuth2 form). */
  async #token(realm: string, params: Record<string, string>): Promise<string> {
    const url = this.#realmUrl(realm);
    const fields = new URLSearchParams();
    if (params.service !== undefined) fields.set('service', params.service);
    fields.set('scope', params.scope ?? `repository:${this.#repository}:pull`);
    let request: HttpRequest = { method: 'GET', headers: {} };
    if (this.#credentials.kind === 'identity') {
      fields.set('grant_type', 'refresh_token');
      fields.set('refresh_token', this.#credentials.token);
      fields.set('client_id', 'amphipod');
      const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
      request = { method: 'POST', headers, body: fields.toString() };
    } else {
      for (const [key, value] of fields) url.searchParams.append(key, value);
      if (this.#credentials.kind === 'basic') {
        request.headers.Authorization = basic(this.#credentials);
        url.searchParams.set('account', this.#credentials.username);
      }
    }
    return this.#requestToken(url, request);
  }

  async #requestToken(url: URL, request: HttpRequest): Promise<string> {
    const what = `get token from ${url.host} for ${this.#origin.host}/${this.#repository}`;
    for (let failures = 1; ; failures++) {
      let cause: string;
      let retryAfter: string | undefined;
      try {
        const answer = await this.#connections.send(
          url,
          request,
          url.origin === this.#origin.origin ? this.#tls : {},
        );
        const body = await readShortBody(answer);
        if (answer.status === 200) return tokenOf(body, what);
        cause = `${answer.status}: ${body.toString('utf8').trim().slice(0, 500)}`;
        retryAfter = answer.headers['retry-after'];
        if (!isTemporary(answer.status)) throw new ImageError('unauthorized', `${what}: ${cause}`);
      } catch (error) {
        if (!isTemporaryError(error)) throw error;
        cause = (error as Error).message;
      }
      if (failures >= this.#retries.attempts)
        throw new ImageError('registry-unavailable', `${what}: ${cause}`);
      await waitForRetry(this.#retries, failures, { retryAfter });
    }
  }

  #realmUrl(realm: string): URL {
    const url = URL.parse(realm, this.#origin.href);
    if (url === null)
      throw new ImageError(
        'registry-error',
        `log in to ${this.#origin.host}: bad realm ${JSON.stringify(realm)}`,
      );
    if (
      this.#origin.protocol === 'https:' &&
      url.protocol !== 'https:' &&
      this.#credentials.kind !== 'none'
    ) {
      const text = `it wants the credentials sent to ${url.origin} without encryption`;
      throw new ImageError('unauthorized', `log in to ${this.#origin.host}: ${text}`);
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
