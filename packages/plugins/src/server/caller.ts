import type { Socket } from 'node:net';
import { encodeFrame, FRAME_HEAD_BYTES, type FrameKind } from './protocol.ts';

/** The caller said something that no launcher says, or more than is taken. */
export class CallerError extends Error {
  readonly isTooLarge: boolean;

  constructor(
    message: string,
    { isTooLarge = false, cause }: { isTooLarge?: boolean; cause?: unknown } = {},
  ) {
    super(message, { cause });
    this.name = 'CallerError';
    this.isTooLarge = isTooLarge;
  }
}

/** The launcher at the other end of a connection. */
export class Caller {
  /** Aborted once the connection has ended, for whatever reason. */
  readonly gone: AbortSignal;
  readonly #socket: Socket;
  readonly #controller = new AbortController();
  #chunks: Buffer[] = [];
  #size = 0;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.gone = this.#controller.signal;
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#size += chunk.length;
      // What nobody asked for yet waits in the kernel.
      if (this.#wake === undefined) socket.pause();
      else this.#wake();
    });
    // A launcher does not close one half: its end is the end.
    for (const event of ['end', 'close', 'error'] as const) socket.on(event, () => this.#end());
  }

  #end(): void {
    this.#controller.abort(new CallerError('the caller is gone'));
    this.#wake?.();
  }

  /** The payload of the next frame, which must be of this kind. @throws CallerError */
  async receive(kind: FrameKind, maxBytes: number): Promise<Buffer> {
    const head = await this.#take(FRAME_HEAD_BYTES);
    const got = head.toString('latin1', 0, 1);
    if (got !== kind) throw new CallerError(`got frame ${JSON.stringify(got)}, want ${kind}`);
    const size = head.readUInt32LE(1);
    if (size > maxBytes)
      throw new CallerError(`frame ${kind} of ${size} bytes: more than ${maxBytes}`, { isTooLarge: true });
    return await this.#take(size);
  }

  async #take(size: number): Promise<Buffer> {
    while (this.#size < size) {
      this.gone.throwIfAborted();
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      this.#socket.resume();
      await promise;
      this.#wake = undefined;
    }
    const all = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
    this.#chunks = all.length > size ? [all.subarray(size)] : [];
    this.#size -= size;
    return all.subarray(0, size);
  }

  send(kind: FrameKind, payload?: Buffer): void {
    if (!this.#socket.destroyed) this.#socket.write(encodeFrame(kind, payload));
  }

  /** Says that this is not for the server, and closes. */
  decline(reason: string): void {
    // Not only its own half: what the caller still sends is not read, and must not keep it waiting.
    this.#socket.end(encodeFrame('N', Buffer.from(reason)), () => this.#socket.destroy());
  }

  close(): void {
    this.#socket.destroy();
  }
}
