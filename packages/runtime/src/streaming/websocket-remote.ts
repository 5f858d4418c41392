import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { WebSocket } from 'ws';
import { ChannelSocket, inputBufferBytes, type WebSocketConnection } from './channel-socket.ts';
import { goneSignal, releaseSocket, stallWatch } from './connected-client.ts';
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

/** The client of an exec or attach over an open WebSocket. */
export function webSocketRemote(connection: WebSocketConnection, wants: WantedStreams): RemoteClient {
  const { webSocket, protocol, socket } = connection;
  const channels = new ChannelSocket(connection);
  const sizes = new TerminalSizes();
  const stdin = wants.stdin ? stdinOf(channels, webSocket) : undefined;
  const stdout = wants.stdout ? channels.writable(CHANNEL.stdout) : undefined;
  const stderr = wants.stderr ? channels.writable(CHANNEL.stderr) : undefined;
  let hasEnded = false;
  channels.listen((channel, bytes) => {
    if (channel === CHANNEL.resize) sizes.receive(bytes);
    else if (stdin === undefined || stdin.destroyed || hasEnded) return;
    else if (channel === CHANNEL.stdin && bytes.length > 0) channels.deliver(bytes, stdin);
    else if (channel === closeSignal && bytes[0] === CHANNEL.stdin) {
      hasEnded = true;
      stdin.push(null);
    }
  });
  // Tells the client that it is served: an empty message on the first channel that it hears.
  channels.send(stdout ? CHANNEL.stdout : stderr ? CHANNEL.stderr : CHANNEL.error, Buffer.alloc(0));
  return {
    ...(stdin && { stdin }),
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
      stdin?.resume();
      webSocket.close(1000);
      releaseSocket(socket);
    },
  };
}

/** The client's input. */
function stdinOf(channels: ChannelSocket, webSocket: WebSocket): Readable {
  const stream = new Readable({
    highWaterMark: inputBufferBytes,
    read: () => channels.hasRoom(stream),
  });
  stream.on('error', () => {});
  webSocket.once('close', () => {
    if (!stream.readableEnded) stream.destroy();
  });
  return stream;
}
