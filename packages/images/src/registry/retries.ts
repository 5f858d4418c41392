import { setTimeout as sleep } from 'node:timers/promises';

/** How often and how long to try again. */
export interface RetryPolicy {
  /** Tries altogether that bring nothing forward. */
  attempts: number;
  /** Before the second try; doubles each time. */
  baseDelayMs: number;
  /** Neither our own delays nor a server's Retry-After are longer. */
  maxDelayMs: number;
}

export const defaultRetries: RetryPolicy = { attempts: 5, baseDelayMs: 500, maxDelayMs: 30_000 };

/** Waits before the next try. @param failures so far, one at least @param retryAfter the header's text @throws the signal's reason */
export async function waitForRetry(
  { baseDelayMs, maxDelayMs }: RetryPolicy,
  failures: number,
  { retryAfter, signal }: { retryAfter?: string | undefined; signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const own = baseDelayMs * 2 ** (failures - 1) * (0.75 + Math.random() / 2);
  // A server that says 0 is not asked in a tight loop either.
  const delayMs = Math.min(Math.max(retryAfterMs(retryAfter) ?? 0, own), maxDelayMs);
  try {
    await sleep(delayMs, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

/** True for answers that may be different a moment later. */
export function isTemporary(status: number): boolean {
  return status === 429 || status === 408 || (status >= 500 && status !== 501 && status !== 505);
}

/** True for errors of the connection that may not happen again. */
export function isTemporaryError(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  // HPE_…: what came was no HTTP.
  return code !== undefined && (temporaryCodes.has(code) || code.startsWith('HPE_'));
}

const temporaryCodes = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'ETIMEDOUT',
  'EPIPE',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'EAI_AGAIN',
  'ERR_PROXY_TUNNEL',
]);

/** Retry-After: seconds or a date (RFC 9110, 10.2.3). */
function retryAfterMs(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = /^[0-9]+$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(ms, 0);
}
