import type { ResultCache } from './cache.ts';
import type { Invoker } from './invoke/invoker.ts';

/** What the operations share. */
export interface CniContext {
  readonly invoker: Invoker;
  readonly cache: ResultCache;
  readonly timeoutMs: number;
  readonly cleanupTimeoutMs: number;
  readonly onWarning: (message: string) => void;
}

export interface CallOptions {
  signal?: AbortSignal | undefined;
}
