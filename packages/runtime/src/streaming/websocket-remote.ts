import type { Socket } from 'node:net';
import { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { WebSocket } from 'ws';
import { goneSignal, releaseSocket, stallWatch, watchHangUp } from './connected-client.ts';
import type { RemoteClient, WantedStreams } from './session.ts';
import { outcomeText } from './status.ts';
import { TerminalSizes } from './terminal-sizes.ts';

/** Subprotocols of exec and attach; a client that names none gets the same as `channel.k8s.io`. */
export const remoteProtocols = [
  'v5.channel.k8s.io',
  'v4.channel.k8s.io',
  'v4.base64.channel.k8s.io',
  'channel.k8s.io',
  'base64.channel.k8s.io',
];

const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;
/** v5: `[255, CHANNEL]` ends that channel. */
const closeSignal = 255;

/** An open WebSocket with what was agreed on and what carries it. */
export interface WebSocketConnection {
  webSocket: WebSocket;
  protocol: string;
  socket: Socket;
}

/** A WebSocket whose messages are `[CHANNEL, …data]`, or in the base64 protocols a digit and base64 text. */
export class ChannelSocket {
  readonly #webSocket: WebSocket;
  readonly #isBase64: boolean;

  constructor({ webSocket, protocol }: WebSocketConnection) {
    this.#webSocket = webSocket;
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

/** The client of an exec or attach over an open WebSocket. */
export function webSocketRemote(connection: WebSocketConnection, wants: WantedStreams): RemoteClient {
  const { webSocket, protocol, socket } = connection;
  const channels = new ChannelSocket(connection);
  const sizes = new TerminalSizes();
  const stdin = wants.stdin ? stdinOf(webSocket, socket) : undefined;
  const stdout = wants.stdout ? channels.writable(CHANNEL.stdout) : undefined;
  const stderr = wants.stderr ? channels.writable(CHANNEL.stderr) : undefined;
  channels.listen((channel, bytes) => {
    if (channel === CHANNEL.resize) sizes.receive(bytes);
    else if (channel === CHANNEL.stdin && bytes.length > 0) stdin?.receive(bytes);
    else if (channel === closeSignal && bytes[0] === CHANNEL.stdin) stdin?.receive(null);
  });
  // Tells the client that it is served: an empty message on the first channel that it hears.
  channels.send(stdout ? CHANNEL.stdout : stderr ? CHANNEL.stderr : CHANNEL.error, Buffer.alloc(0));
  return {
    ...(stdin && { stdin: stdin.stream }),
    ...(stdout && { stdout }),
    ...(stderr && { stderr }),
    sizes,
    gone: goneSignal(socket),
    endWhenStalled: stallWatch(socket),
    async finish(outcome) {
      const outputs = [stdout, stderr].filter((stream) => stream !== undefined);
      await Promise.allSettled(outputs.map((output) => finished(output.end())));
      const status = outcomeText(outcome, protocol);
      if (status !== '') channels.send(CHANNEL.error, Buffer.from(status));
      // Input that nobody wants any more must not stand before the client's answer.
      stdin?.stream.resume();
      webSocket.close(1000);
      releaseSocket(socket);
    },
  };
}

/** The client's input; while it is not read, nothing is read from the client. */
function stdinOf(webSocket: WebSocket, socket: Socket) {
  let unwatch: (() => void) | undefined;
  let ended = false;
  const stream = new Readable({
    highWaterMark: 256 * 1024,
    read() {
      unwatch?.();
      unwatch = undefined;
      if (webSocket.isPaused) webSocket.resume();
    },
  });
  stream.on('error', () => {});
  webSocket.once('close', () => {
    if (!stream.readableEnded) stream.destroy();
  });
  return {
    stream,
    receive(bytes: Buffer | null) {
      if (ended || stream.destroyed) return;
      ended = bytes === null;
      if (stream.push(bytes) || ended) return;
      webSocket.pause();
      unwatch ??= watchHangUp(socket);
    },
  };
}
