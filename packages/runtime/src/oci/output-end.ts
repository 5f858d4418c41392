import { once } from 'node:events';
import type { Readable } from 'node:stream';

/** How long a command's output must be silent after its end, when somebody else still holds it open. */
const silenceMs = 100;

/**
 * Resolves when all that an ended command wrote has been read from `output`: at its end or, when a process in the
 * background holds it open, as soon as nothing more comes.
 * @param isHeldUp whether the reader has stopped it, so that silence means nothing
 */
export async function outputEnd(output: Readable, isHeldUp: () => boolean = () => false): Promise<void> {
  let lastDataAt = performance.now();
  const onData = () => {
    lastDataAt = performance.now();
  };
  output.on('data', onData);
  while (!output.closed && performance.now() - lastDataAt < silenceMs) {
    await once(output, 'close', { signal: AbortSignal.timeout(silenceMs / 5) }).catch(() => {});
    if (isHeldUp()) onData();
  }
  output.off('data', onData);
}
