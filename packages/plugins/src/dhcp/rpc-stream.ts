import type { Socket } from 'node:net';
import { GobDecoder } from './gob-decoder.ts';
import { GobEncoder } from './gob-encoder.ts';
import type { GobObject, GobStruct } from './gob-types.ts';

/** Longer than any header that a peer of ours sends before it switches to messages. */
const MAX_HEADER_BYTES = 16 * 1024;

/** Both directions of a connection, after the lines of HTTP that net/rpc begins with. */
export class RpcStream {
  readonly #socket: Socket;
  readonly #decoder = new GobDecoder();
  readonly #encoder = new GobEncoder();
  readonly #chunks: AsyncIterator<Buffer>;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#chunks = socket[Symbol.asyncIterator]();
  }

  write(text: string): void {
    this.#socket.write(text);
  }

  /** Lines up to the empty one. @throws RangeError when there is none */
  async readHeader(): Promise<string[]> {
    let head = Buffer.alloc(0);
    for (;;) {
      const end = /\r?\n\r?\n/.exec(head.toString('latin1'));
      if (end !== null) {
        this.#decoder.push(head.subarray(end.index + end[0].length));
        return head.toString('latin1', 0, end.index).split(/\r?\n/);
      }
      if (head.length > MAX_HEADER_BYTES) throw new RangeError('read rpc header: too long');
      const { value, done } = await this.#chunks.next();
      if (done === true) throw new RangeError('read rpc header: connection closed');
      head = Buffer.concat([head, value]);
    }
  }

  /** A header or body; undefined when the peer has closed. @throws RangeError for what is not gob */
  async receive(): Promise<GobObject | undefined> {
    for (;;) {
      const value = this.#decoder.next();
      if (value !== undefined) return value;
      const { value: chunk, done } = await this.#chunks.next();
      if (done === true) return undefined;
      this.#decoder.push(chunk);
    }
  }

  send(type: GobStruct, value: GobObject): void {
    this.#socket.write(this.#encoder.encode(type, value));
  }
}
