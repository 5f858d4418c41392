import { Duplex } from 'node:stream';
import { initialWindowBytes } from './frames.ts';
import type { Headers } from './headers.ts';

/** What a stream asks of its connection. */
export interface StreamLink {
  sendData(stream: SpdyStream, bytes: Buffer, done: () => void): void;
  sendFin(stream: SpdyStream, done: () => void): void;
  /** Room for more: the reader has taken `bytes` of what came. */
  granted(stream: SpdyStream, bytes: number): void;
  /** The stream is over; `reset` when the other side must be told. */
  closed(stream: SpdyStream, reset: boolean): void;
}

/** Beyond a window of a peer that respects windows, and little enough for hundreds of streams. */
const bufferBytes = 256 * 1024;
/** Windows are granted in steps, not for each piece. */
const grantBytes = initialWindowBytes / 2;

/**
 * One stream of a {@link SpdyConnection}: ends each way by itself; destroying it before that resets it. Losing the
 * connection destroys it with an error, which need not be listened for.
 */
export class SpdyStream extends Duplex {
  readonly id: number;
  /** What the stream was opened with. */
  readonly headers: Headers;
  /** What may be sent, for a peer that grants windows. */
  sendWindow: number;
  /** Data that waits for a window. */
  waiting: { bytes: Buffer; done: () => void } | undefined;
  /** What is to be sent when the other side has replied; undefined when it has. */
  #untilReply: (() => void)[] | undefined;
  readonly #link: StreamLink;
  #ungranted = 0;
  #isFull = false;
  #peerEnded = false;
  #ended = false;

  /** `awaitsReply`: opened by us. */
  constructor(
    link: StreamLink,
    options: { id: number; headers: Headers; sendWindow: number; awaitsReply: boolean },
  ) {
    super({ readableHighWaterMark: bufferBytes, writableHighWaterMark: bufferBytes });
    this.#link = link;
    this.id = options.id;
    this.headers = options.headers;
    this.sendWindow = options.sendWindow;
    this.#untilReply = options.awaitsReply ? [] : undefined;
    this.on('error', () => {});
  }

  /** True while the reader lags so much that nothing more should be read from the connection. */
  get isFull(): boolean {
    return this.#isFull && !this.destroyed;
  }

  /** For the connection: data has come. */
  receive(bytes: Buffer): void {
    if (this.#peerEnded || this.destroyed || bytes.length === 0) return;
    this.#ungranted += bytes.length;
    this.#isFull = !this.push(bytes);
    if (!this.#isFull && this.#ungranted >= grantBytes) this.#grant();
  }

  /** For the connection: the other side has ended its half. */
  receiveFin(): void {
    if (this.#peerEnded || this.destroyed) return;
    this.#peerEnded = true;
    this.#isFull = false;
    this.push(null);
  }

  /** For the connection: the other side has reset the stream, or is gone. */
  abort(reason: Error): void {
    this.#peerEnded = true;
    this.#ended = true;
    this.destroy(reason);
  }

  /** For the connection: it is gone. What had come in whole before is still there for who reads it. */
  connectionClosed(): void {
    if (this.destroyed) return;
    if (!this.#peerEnded) {
      this.abort(new Error('connection closed'));
      return;
    }
    this.receiveReply();
    const waiting = this.waiting;
    this.waiting = undefined;
    waiting?.done();
    if (!this.writableEnded) this.end();
  }

  override _read(): void {
    if (!this.#isFull) return;
    this.#isFull = false;
    this.#grant();
  }

  #grant(): void {
    const bytes = this.#ungranted;
    this.#ungranted = 0;
    this.#link.granted(this, bytes);
  }

  /** For the connection: the other side knows the stream. */
  receiveReply(): void {
    const sends = this.#untilReply ?? [];
    this.#untilReply = undefined;
    for (const send of sends) send();
  }

  /** spdystream drops what comes before it has replied. */
  #afterReply(send: () => void): void {
    if (this.#untilReply === undefined) send();
    else this.#untilReply.push(send);
  }

  override _write(bytes: Buffer, _encoding: string, done: () => void): void {
    this.#afterReply(() => this.#link.sendData(this, bytes, done));
  }

  override _final(done: () => void): void {
    this.#ended = true;
    this.#afterReply(() => this.#link.sendFin(this, done));
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const waiting = this.waiting;
    this.waiting = undefined;
    waiting?.done();
    this.#untilReply = undefined;
    this.#link.closed(this, !(this.#ended && this.#peerEnded));
    done(error);
  }
}
