import type { Duplex } from 'node:stream';

/**
 * Copies between two connections both ways. Each half ends by itself, so that an answer arrives after the end of the
 * question. Resolves when both halves have ended.
 * @throws Error of the side that broke; the other side is broken off then
 */
export function joinStreams(a: Duplex, b: Duplex): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let closed = 0;
  const breakOff = (other: Duplex, error: Error) => {
    reject(error);
    other.destroy();
  };
  for (const [stream, other] of [
    [a, b],
    [b, a],
  ] as const) {
    stream.on('error', (error) => breakOff(other, error));
    stream.on('close', () => {
      if (!stream.readableEnded || !stream.writableFinished) breakOff(other, new Error('connection closed'));
      closed++;
      if (closed === 2) resolve();
    });
    stream.pipe(other);
    if (stream.destroyed) breakOff(other, stream.errored ?? new Error('connection closed'));
  }
  return promise;
}
