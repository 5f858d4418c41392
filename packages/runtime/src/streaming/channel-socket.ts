import type { Socket } from 'node:net';
import { type Readable, Writable } from 'node:stream';
import type { WebSocket } from 'ws';
import { watchHangUp } from './connected-client.ts';

/** For what a client sends faster than it is taken. */
export const inputBufferBytes = 256 * 1024;

/** An open WebSocket with what was agreed on and what carries it. */
export interface WebSocketConnection {
  webSocket: WebSocket;
  protocol: string;
  socket: Socket;
}

/** A WebSocket whose messages are `[CHANNEL, …data]`, or in the base64 protocols a digit and base64 text. */
export class ChannelSocket {
  readonly #webSocket: WebSocket;
  readonly #socket: Socket;
  readonly #isBase64: boolean;
  /** Streams whose reader lags. */
  readonly #full = new Set<Readable>();
  #unwatch: (() => void) | undefined;

  constructor({ webSocket, protocol, socket }: WebSocketConnection) {
    this.#webSocket = webSocket;
    this.#socket = socket;
    this.#isBase64 = protocol.includes('base64');
  }

  /** Calls `onData` with each message; what is none of the protocol ends the connection. */
  listen(onData: (channel: number, bytes: Buffer) => void): void {
    this.#webSocket.on('message', (message: Buffer) => {
      if (message.length === 0) return;
      if (!this.#isBase64) return onData(message[0]!, message.subarray(1));
      onData(message[0]! - 0x30, Buffer.from(message.toString('latin1', 1), 'base64'));
    });
  }

  /** Hands what came to its reader. While any reader lags, nothing is read from the client. */
  deliver(bytes: Buffer, stream: Readable): void {
    if (stream.destroyed || stream.push(bytes) || this.#full.has(stream)) return;
    this.#full.add(stream);
    stream.once('close', () => this.hasRoom(stream));
    if (this.#full.size > 1) return;
    this.#webSocket.pause();
    this.#unwatch = watchHangUp(this.#socket);
  }

  /** To be called by a stream's `read`. */
  hasRoom(stream: Readable): void {
    if (!this.#full.delete(stream) || this.#full.size > 0) return;
    this.#unwatch?.();
    this.#webSocket.resume();
  }

  send(channel: number, bytes: Buffer, done: () => void = () => {}): void {
    if (this.#webSocket.readyState !== this.#webSocket.OPEN) {
      done();
      return;
    }
    const message = this.#isBase64
      ? `${channel}${bytes.toString('base64')}`
      : Buffer.concat([Buffer.from([channel]), bytes]);
    this.#webSocket.send(message, done);
  }

  /** A channel for writing; its end is not sent, as the protocols have no word for it. */
  writable(channel: number): Writable {
    const stream = new Writable({
      write: (bytes: Buffer, _encoding, done) => this.send(channel, bytes, () => done()),
    });
    stream.on('error', () => {});
    this.#webSocket.once('close', () => stream.destroy());
    return stream;
  }
}
