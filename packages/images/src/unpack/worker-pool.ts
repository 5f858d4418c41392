import { Worker } from 'node:worker_threads';
import { CodedError } from '@amphipod/linux';
import { ImageError, type ImageErrorCode } from '../errors.ts';
import type { UnpackOptions } from './unpack-tar.ts';
import type { WorkerReply, WorkerRequest } from './worker.ts';
import type { JobResults, WorkerJob } from './worker-jobs.ts';

/** A worker that is not needed for so long ends: an idle one costs some ten megabytes. */
const idleMs = 5_000;

const maxHeapMb = 512;

/** Starting a thread takes as long as unpacking about so much of a compressed layer. */
const bytesWorthAThread = 4 * 1024 * 1024;

export interface JobOptions extends UnpackOptions {
  /** How much there is to read: small jobs share a thread. Without it a job gets one of its own. */
  bytes?: number;
}

interface Waiting {
  job: WorkerJob;
  options: JobOptions;
  resolve: (result: unknown) => void;
  reject: (error: unknown) => void;
}

/** Threads for work that blocks on files; started when there is work. */
export class WorkerPool implements AsyncDisposable {
  readonly #size: number;
  readonly #queue: Waiting[] = [];
  readonly #idle: { worker: Worker; timer: NodeJS.Timeout }[] = [];
  readonly #all = new Set<Worker>();
  #busy = 0;
  /** Of the jobs that wait or run. */
  #threadsWorth = 0;

  constructor(size: number) {
    this.#size = size;
  }

  /** Runs a job when a thread is free. @throws ImageError, CodedError, the signal's reason */
  async run<J extends WorkerJob>(job: J, options: JobOptions = {}): Promise<JobResults[J['job']]> {
    options.signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const worth = threadsWorth(options);
    this.#threadsWorth += worth;
    this.#queue.push({ job, options, resolve, reject });
    this.#next();
    try {
      return (await promise) as JobResults[J['job']];
    } finally {
      this.#threadsWorth -= worth;
    }
  }

  /** Starts threads for jobs that will come soon, by their {@link JobOptions.bytes}. */
  warm(jobs: readonly number[]): void {
    const worth = jobs.reduce((sum, bytes) => sum + threadsWorth({ bytes }), this.#threadsWorth);
    const wanted = Math.min(Math.ceil(worth), this.#size) - this.#all.size;
    for (let i = 0; i < wanted; i++) this.#park(this.#makeWorker());
  }

  /** Ends the threads; jobs that still run are lost. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { timer } of this.#idle.splice(0)) clearTimeout(timer);
    await Promise.all([...this.#all].map((worker) => worker.terminate()));
  }

  #next(): void {
    if (this.#idle.length === 0 && this.#busy >= Math.min(Math.ceil(this.#threadsWorth), this.#size)) return;
    const waiting = this.#queue.shift();
    if (waiting === undefined) return;
    if (waiting.options.signal?.aborted) {
      waiting.reject(waiting.options.signal.reason);
      this.#next();
      return;
    }
    this.#busy += 1;
    this.#start(waiting, this.#takeWorker());
  }

  #takeWorker(): Worker {
    const idle = this.#idle.pop();
    if (idle !== undefined) {
      clearTimeout(idle.timer);
      idle.worker.removeAllListeners('error');
      idle.worker.ref();
      return idle.worker;
    }
    return this.#makeWorker();
  }

  #makeWorker(): Worker {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), {
      // Descriptors come from openat2 by FFI: Node.js would warn of each that it closes without having opened it.
      trackUnmanagedFds: false,
      // What a job remembers grows with its number of directories and deletions: too many end the job, not the process.
      resourceLimits: { maxOldGenerationSizeMb: maxHeapMb },
      // Not ours: some options of a program (--input-type, --test) are wrong for a thread.
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    this.#all.add(worker);
    worker.once('exit', () => this.#all.delete(worker));
    return worker;
  }

  #start({ job, options, resolve, reject }: Waiting, worker: Worker): void {
    const send = (request: WorkerRequest) => worker.postMessage(request);
    const onAbort = () => send({ abort: true });
    const finish = (reusable: boolean) => {
      worker.removeAllListeners('message');
      worker.removeAllListeners('error');
      worker.off('exit', onExit);
      options.signal?.removeEventListener('abort', onAbort);
      this.#busy -= 1;
      if (reusable) this.#park(worker);
      this.#next();
    };
    const onExit = (exitCode: number) => {
      finish(false);
      reject(new ImageError('unpack-failed', `run ${job.job} in a thread: it ended with code ${exitCode}`));
    };
    worker.on('message', (reply: WorkerReply) => {
      if ('progress' in reply) options.onProgress?.(reply.progress);
      else {
        finish(true);
        if ('result' in reply) resolve(reply.result);
        else reject(options.signal?.aborted ? options.signal.reason : revive(reply.error));
      }
    });
    worker.once('error', (error) => {
      finish(false);
      const text = `run ${job.job} in a thread: ${error.message}`;
      reject(new ImageError('unpack-failed', text, { cause: error }));
    });
    worker.once('exit', onExit);
    options.signal?.addEventListener('abort', onAbort, { once: true });
    send({ start: job });
  }

  #park(worker: Worker): void {
    worker.unref();
    const end = () => {
      const at = this.#idle.findIndex((idle) => idle.worker === worker);
      if (at >= 0) this.#idle.splice(at, 1);
      void worker.terminate();
    };
    // One that cannot start has nothing to tell yet: the job that needs it will hear of the next one.
    worker.once('error', end);
    this.#idle.push({ worker, timer: setTimeout(end, idleMs).unref() });
  }
}

function threadsWorth({ bytes = bytesWorthAThread }: JobOptions): number {
  return Math.min(1, Math.max(bytes, 1) / bytesWorthAThread);
}

function revive({
  code,
  message,
  isImageError,
}: {
  code: string;
  message: string;
  isImageError: boolean;
}): Error {
  return isImageError ? new ImageError(code as ImageErrorCode, message) : new CodedError(code, message);
}
