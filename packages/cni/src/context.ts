import type { ResultCache } from './cache.ts';
import type { CniError } from './errors.ts';
import type { Invoker } from './invoke/invoker.ts';
import type { CniCommand } from './plugin.ts';

/** What the operations share. */
export interface CniContext {
  readonly invoker: Invoker;
  readonly cache: ResultCache;
  /** Calls under way, with the time (`performance.now`) at which they began. */
  readonly calls: Set<Omit<CallUnderWay, 'forMs'> & { startedAt: number }>;
  readonly timeoutMs: number;
  readonly cleanupTimeoutMs: number;
  readonly onWarning: (message: string) => void;
  readonly onCall: (call: EndedCall) => void;
}

/** A call of a plugin that is over. */
export interface EndedCall {
  plugin: string;
  command: CniCommand;
  /** By `performance.now`. */
  startMs: number;
  endMs: number;
  error?: CniError;
}

/** A call of a plugin that has not ended yet. */
export interface CallUnderWay {
  plugin: string;
  command: CniCommand;
  /** Empty for STATUS and GC, as the next. */
  containerID: string;
  ifName: string;
  /** Milliseconds since it began. */
  forMs: number;
}

export interface CallOptions {
  signal?: AbortSignal | undefined;
}
