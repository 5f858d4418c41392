import type { Duplex } from 'node:stream';
import {
  type ControlFrame,
  controlFrame,
  type DataPiece,
  dataHead,
  FLAG_FIN,
  FRAME,
  FrameReader,
  frameWords,
  initialWindowBytes,
  RST,
  SETTINGS_INITIAL_WINDOW_SIZE,
  synStream,
} from './frames.ts';
import { HeaderDecoder, HeaderEncoder, type Headers } from './headers.ts';
import { SpdyStream, type StreamLink } from './stream.ts';

export interface SpdyOptions {
  role: 'client' | 'server';
  /** Called for each stream that the other side opens, before anything of it is read: return false to refuse it. */
  onStream(stream: SpdyStream): boolean;
  /** Asked every second while nothing can be read because a reader lags: whether the other side has gone. */
  hasHungUp?(): boolean;
}

/** How long the other side may take to close after we have. */
const lingerMs = 10_000;
const maxFrameBytes = 1 << 20;

/**
 * A SPDY/3.1 connection over an upgraded socket. Windows are respected with a peer that has shown that it grants them;
 * spdystream, which all of Kubernetes uses, knows none: there a reader that lags holds up the socket.
 */
export class SpdyConnection {
  /** Resolves when the socket is closed, whoever closed it. Never rejects. */
  readonly closed: Promise<void>;
  readonly #socket: Duplex;
  readonly #options: SpdyOptions;
  readonly #encoder = new HeaderEncoder();
  readonly #streams = new Map<number, SpdyStream>();
  readonly #link: StreamLink;
  #nextId: number;
  #lastPeerId = 0;
  #peerGrants = false;
  #streamWindow = initialWindowBytes;
  #sendWindow = initialWindowBytes;
  #received = 0;
  #wake: (() => void) | undefined;
  /** Nothing is read, a window that is granted neither. */
  #stalled = false;
  #closing = false;

  constructor(socket: Duplex, options: SpdyOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#nextId = options.role === 'client' ? 1 : 2;
    this.#link = {
      sendData: (stream, bytes, done) => this.#sendData(stream, bytes, done),
      sendFin: (stream, done) => this.#sendFin(stream, done),
      granted: (stream, bytes) => this.#granted(stream, bytes),
      closed: (stream, reset) => this.#streamClosed(stream, reset),
    };
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#closeStreams();
        resolve();
      });
    });
    void this.#run();
  }

  /** Opens a stream; what is written before the other side has replied waits for that. */
  open(headers: Headers): SpdyStream {
    const stream = this.#addStream(this.#nextId, headers, true);
    this.#nextId += 2;
    this.#write([synStream(stream.id, this.#encoder.encode(headers))]);
    return stream;
  }

  /**
   * Says goodbye and ends our half. What the other side still sends is read and dropped: closing before that would
   * reset the connection and could take the last of our data with it. Destroyed when it does not close in ten seconds.
   */
  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#wake?.();
    if (this.#socket.destroyed) return;
    this.#socket.end(controlFrame(FRAME.GOAWAY, [this.#lastPeerId, 0]));
    const timer = setTimeout(() => this.#socket.destroy(), lingerMs);
    void this.closed.then(() => clearTimeout(timer));
  }

  /** Closes without waiting for anything. */
  destroy(): void {
    this.#socket.destroy();
  }

  async #run(): Promise<void> {
    using decoder = new HeaderDecoder();
    const reader = new FrameReader();
    try {
      for await (const chunk of this.#socket.iterator({ destroyOnReturn: false })) {
        if (this.#closing) continue;
        for (const frame of reader.read(chunk as Buffer)) {
          if (frame.kind === 'data') this.#onData(frame);
          else await this.#onControl(frame, decoder);
        }
        await this.#untilRoom();
      }
      // The other side has said all it will: nobody is left to answer, as no half of a connection has a use alone.
      this.#closeStreams();
      this.#socket.end();
    } catch {
      // Broken off, or not SPDY: the streams learn of it by 'close'.
      this.#socket.destroy();
    }
  }

  /** Waits while a reader lags. */
  async #untilRoom(): Promise<void> {
    const isFull = () => !this.#closing && this.#streams.values().some((stream) => stream.isFull);
    // Whoever lags may be waiting for us to send: only the socket holds that up now.
    this.#stalled = isFull();
    if (this.#stalled) this.#sendWaiting();
    while (isFull()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(resolve, 1000);
      await promise;
      clearTimeout(timer);
      this.#wake = undefined;
      if (this.#socket.destroyed || this.#options.hasHungUp?.()) throw new Error('connection closed');
    }
    this.#stalled = false;
  }

  #onData({ streamId, bytes, fin }: DataPiece): void {
    this.#received += bytes.length;
    if (this.#received >= initialWindowBytes / 2) {
      this.#write([controlFrame(FRAME.WINDOW_UPDATE, [0, this.#received])]);
      this.#received = 0;
    }
    const stream = this.#streams.get(streamId);
    // Data for a stream that we have just reset is under way quite rightly.
    stream?.receive(bytes);
    if (fin) stream?.receiveFin();
  }

  async #onControl({ type, flags, body }: ControlFrame, decoder: HeaderDecoder): Promise<void> {
    const [first = 0, second = 0] = frameWords(body);
    const streamId = first & 0x7fffffff;
    switch (type) {
      case FRAME.SYN_STREAM: {
        const headers = await decoder.decode(body.subarray(10));
        this.#onSynStream(streamId, { headers, fin: (flags & FLAG_FIN) !== 0 });
        return;
      }
      case FRAME.SYN_REPLY:
      case FRAME.HEADERS:
        // Nobody sends headers of use here, but each block moves the decoder on.
        await decoder.decode(body.subarray(4));
        if (type === FRAME.SYN_REPLY) this.#streams.get(streamId)?.receiveReply();
        if (flags & FLAG_FIN) this.#streams.get(streamId)?.receiveFin();
        return;
      case FRAME.RST_STREAM:
        this.#streams.get(streamId)?.abort(new Error(`stream reset by the other side (status ${second})`));
        return;
      case FRAME.SETTINGS:
        this.#onSettings(frameWords(body));
        return;
      case FRAME.PING:
        if (this.#isPeers(first)) this.#write([controlFrame(FRAME.PING, [first])]);
        return;
      case FRAME.WINDOW_UPDATE:
        this.#onWindowUpdate(streamId, second & 0x7fffffff);
        return;
      // After a GOAWAY the streams that there are go on; unknown types are to be ignored (section 2.2.1).
    }
  }

  #onSynStream(id: number, { headers, fin }: { headers: Headers; fin: boolean }): void {
    if (!this.#isPeers(id) || id <= this.#lastPeerId)
      throw new Error(`SPDY stream ${id}: not a new one of the peer`);
    this.#lastPeerId = id;
    const stream = this.#addStream(id, headers, false);
    if (!this.#options.onStream(stream)) {
      this.#streams.delete(id);
      this.#write([controlFrame(FRAME.RST_STREAM, [id, RST.REFUSED_STREAM])]);
      stream.abort(new Error('stream refused'));
      return;
    }
    // Before anything is sent on it: spdystream drops data that comes before the reply.
    this.#write([controlFrame(FRAME.SYN_REPLY, [id], this.#encoder.encode({}))]);
    if (fin) stream.receiveFin();
  }

  /** Clients count by odd numbers, servers by even ones. */
  #isPeers(id: number): boolean {
    return (id & 1) === (this.#options.role === 'server' ? 1 : 0);
  }

  #onSettings([count = 0, ...words]: number[]): void {
    for (let i = 0; i < count; i++) {
      const [id = 0, value = 0] = words.slice(2 * i);
      if ((id & 0xffffff) !== SETTINGS_INITIAL_WINDOW_SIZE) continue;
      this.#peerGrants = true;
      for (const stream of this.#streams.values()) stream.sendWindow += value - this.#streamWindow;
      this.#streamWindow = value;
    }
    this.#sendWaiting();
  }

  #onWindowUpdate(streamId: number, bytes: number): void {
    this.#peerGrants = true;
    const stream = this.#streams.get(streamId);
    if (streamId === 0) this.#sendWindow += bytes;
    else if (stream !== undefined) stream.sendWindow += bytes;
    this.#sendWaiting();
  }

  #sendWaiting(): void {
    for (const stream of this.#streams.values()) {
      if (stream.waiting === undefined) continue;
      const { bytes, done } = stream.waiting;
      stream.waiting = undefined;
      this.#sendData(stream, bytes, done);
    }
  }

  #sendData(stream: SpdyStream, bytes: Buffer, done: () => void): void {
    let rest = bytes;
    for (;;) {
      const window =
        this.#peerGrants && !this.#stalled ? Math.min(stream.sendWindow, this.#sendWindow) : maxFrameBytes;
      if (window <= 0) {
        stream.waiting = { bytes: rest, done };
        return;
      }
      const piece = rest.subarray(0, Math.min(window, maxFrameBytes));
      rest = rest.subarray(piece.length);
      stream.sendWindow -= piece.length;
      this.#sendWindow -= piece.length;
      this.#write([dataHead(stream.id, piece.length), piece], rest.length === 0 ? done : undefined);
      if (rest.length === 0) return;
    }
  }

  #sendFin(stream: SpdyStream, done: () => void): void {
    this.#write([dataHead(stream.id, 0, FLAG_FIN)], done);
  }

  /** Calls `done` when the kernel has taken the bytes, or the socket is gone. */
  #write(parts: Buffer[], done?: () => void): void {
    if (!this.#socket.writable) {
      if (done !== undefined) process.nextTick(done);
      return;
    }
    this.#socket.cork();
    parts.forEach((part, index) => {
      this.#socket.write(part, index === parts.length - 1 ? () => done?.() : undefined);
    });
    this.#socket.uncork();
  }

  #granted(stream: SpdyStream, bytes: number): void {
    if (bytes > 0) this.#write([controlFrame(FRAME.WINDOW_UPDATE, [stream.id, bytes])]);
    this.#wake?.();
  }

  #streamClosed(stream: SpdyStream, reset: boolean): void {
    if (!this.#streams.delete(stream.id)) return;
    if (reset) this.#write([controlFrame(FRAME.RST_STREAM, [stream.id, RST.CANCEL])]);
    this.#wake?.();
  }

  #addStream(id: number, headers: Headers, awaitsReply: boolean): SpdyStream {
    const sendWindow = this.#streamWindow;
    const stream = new SpdyStream(this.#link, { id, headers, sendWindow, awaitsReply });
    this.#streams.set(id, stream);
    return stream;
  }

  #closeStreams(): void {
    for (const stream of this.#streams.values()) stream.connectionClosed();
  }
}
