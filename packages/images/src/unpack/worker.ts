import { parentPort } from 'node:worker_threads';
import { ImageError } from '../errors.ts';
import { runJob, type WorkerJob } from './worker-jobs.ts';

// The thread that worker-pool.ts starts. One job at a time.

/** To the worker. */
export type WorkerRequest = { start: WorkerJob } | { abort: true };
/** From the worker. */
export type WorkerReply =
  | { progress: number }
  | { result: unknown }
  | { error: { code: string; message: string; isImageError: boolean } };

const progressEveryMs = 50;
let abort = new AbortController();

parentPort!.on('message', (request: WorkerRequest) => {
  if ('abort' in request) abort.abort();
  else void run(request.start);
});

async function run(job: WorkerJob): Promise<void> {
  abort = new AbortController();
  let last = 0;
  const onProgress = (progress: number) => {
    const now = performance.now();
    if (now - last < progressEveryMs) return;
    last = now;
    reply({ progress });
  };
  try {
    reply({ result: await runJob(job, { signal: abort.signal, onProgress }) });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    reply({ error: { code: code ?? 'unpack-failed', message, isImageError: error instanceof ImageError } });
  }
}

function reply(message: WorkerReply): void {
  parentPort!.postMessage(message);
}
