import { randomBytes } from 'node:crypto';
import { CriError } from '../errors.ts';

const lifetimeMs = 60_000;
/** A client that asks for sessions and opens none must not fill the memory. */
const maxTokens = 1000;

/** Things that can be fetched once, within a minute, by whoever has the token. */
export class Tokens<T> {
  readonly #values = new Map<string, { value: T; expiresAtMs: number }>();

  /** @throws CriError resource-exhausted with a thousand tokens out */
  issue(value: T): string {
    this.#forgetExpired();
    if (this.#values.size >= maxTokens) {
      throw new CriError(
        'resource-exhausted',
        `open stream: ${maxTokens} requests wait for their client already`,
      );
    }
    // 96 bits: the port can be reached by every user of the node.
    const token = randomBytes(12).toString('base64url');
    this.#values.set(token, { value, expiresAtMs: performance.now() + lifetimeMs });
    return token;
  }

  /** What the token stands for, which it does no longer; undefined when it is unknown, used or too old. */
  take(token: string): T | undefined {
    this.#forgetExpired();
    const found = this.#values.get(token);
    this.#values.delete(token);
    return found?.value;
  }

  /** All live equally long, so the oldest are the first. */
  #forgetExpired(): void {
    const now = performance.now();
    for (const [token, { expiresAtMs }] of this.#values) {
      if (expiresAtMs > now) return;
      this.#values.delete(token);
    }
  }
}
