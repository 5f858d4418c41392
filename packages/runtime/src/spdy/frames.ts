/** Types of control frames (draft-mbelshe-httpbis-spdy-00, section 2.6; WINDOW_UPDATE as in SPDY/3.1). */
export const FRAME = {
  SYN_STREAM: 1,
  SYN_REPLY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PING: 6,
  GOAWAY: 7,
  HEADERS: 8,
  WINDOW_UPDATE: 9,
} as const;

/** Status codes of RST_STREAM (section 2.6.3). */
export const RST = { REFUSED_STREAM: 3, CANCEL: 5 } as const;

export const FLAG_FIN = 1;
export const SETTINGS_INITIAL_WINDOW_SIZE = 7;
/** What a stream, and a connection, may send before it is granted more. */
export const initialWindowBytes = 64 * 1024;

const version = 3;
const headBytes = 8;
const maxControlBytes = 64 * 1024;

/** A part of a DATA frame, as it came off the wire. */
export interface DataPiece {
  kind: 'data';
  streamId: number;
  bytes: Buffer;
  /** The last of its frame, and the frame ends the stream. */
  fin: boolean;
}

export interface ControlFrame {
  kind: 'control';
  type: number;
  flags: number;
  /** What follows the head. */
  body: Buffer;
}

/** Cuts a stream of bytes into frames, whatever pieces it comes in. DATA is handed on at once, control frames whole. */
export class FrameReader {
  #pending: Buffer = Buffer.alloc(0);
  #data: { streamId: number; fin: boolean; left: number } | undefined;

  /** @throws Error at what is no SPDY/3 frame */
  *read(chunk: Buffer): Generator<DataPiece | ControlFrame> {
    let bytes = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    this.#pending = Buffer.alloc(0);
    while (bytes.length > 0) {
      if (this.#data !== undefined) {
        const piece = bytes.subarray(0, this.#data.left);
        bytes = bytes.subarray(piece.length);
        yield this.#dataPiece(this.#data, piece);
        continue;
      }
      if (bytes.length < headBytes) break;
      const length = bytes.readUIntBE(5, 3);
      if ((bytes[0]! & 0x80) === 0) {
        const data = { streamId: bytes.readUInt32BE(0), fin: (bytes[4]! & FLAG_FIN) !== 0, left: length };
        this.#data = data;
        bytes = bytes.subarray(headBytes);
        if (length === 0) yield this.#dataPiece(data, Buffer.alloc(0));
        continue;
      }
      if ((bytes.readUInt16BE(0) & 0x7fff) !== version) throw new Error('read SPDY frame: not version 3');
      if (length > maxControlBytes) throw new Error(`read SPDY frame: ${length} bytes of control frame`);
      if (bytes.length < headBytes + length) break;
      const body = bytes.subarray(headBytes, headBytes + length);
      yield { kind: 'control', type: bytes.readUInt16BE(2), flags: bytes[4]!, body };
      bytes = bytes.subarray(headBytes + length);
    }
    this.#pending = bytes;
  }

  #dataPiece(data: { streamId: number; fin: boolean; left: number }, bytes: Buffer): DataPiece {
    data.left -= bytes.length;
    if (data.left === 0) this.#data = undefined;
    return { kind: 'data', streamId: data.streamId, bytes, fin: data.fin && data.left === 0 };
  }
}

/** The eight bytes before the payload of a DATA frame; `length` below 16 MiB. */
export function dataHead(streamId: number, length: number, flags = 0): Buffer {
  const head = Buffer.allocUnsafe(headBytes);
  head.writeUInt32BE(streamId, 0);
  head[4] = flags;
  head.writeUIntBE(length, 5, 3);
  return head;
}

/** A control frame of 32-bit words, with headers behind them where the type has some. */
export function controlFrame(type: number, words: readonly number[], rest: Buffer = Buffer.alloc(0)): Buffer {
  const frame = Buffer.alloc(headBytes + 4 * words.length + rest.length);
  frame.writeUInt16BE(0x8000 | version, 0);
  frame.writeUInt16BE(type, 2);
  frame.writeUIntBE(frame.length - headBytes, 5, 3);
  words.forEach((word, index) => {
    frame.writeUInt32BE(word >>> 0, headBytes + 4 * index);
  });
  rest.copy(frame, headBytes + 4 * words.length);
  return frame;
}

/** SYN_STREAM of a stream with the highest priority that depends on no other. */
export function synStream(streamId: number, block: Buffer): Buffer {
  return controlFrame(FRAME.SYN_STREAM, [streamId, 0], Buffer.concat([Buffer.alloc(2), block]));
}

/** Words of a control frame's body; fewer when it is too short. */
export function frameWords(body: Buffer): number[] {
  return Array.from({ length: body.length >> 2 }, (_, index) => body.readUInt32BE(4 * index));
}
