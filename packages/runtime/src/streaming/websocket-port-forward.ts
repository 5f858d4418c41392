import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { createWebSocketStream, type WebSocket } from 'ws';
import { errorText } from '../errors.ts';
import { watchHangUp } from './connected-client.ts';
import { joinStreams } from './join-streams.ts';
import { servePortForward } from './port-forward.ts';
import { ChannelSocket, type WebSocketConnection } from './websocket-remote.ts';

/** A SPDY connection in binary messages. */
const tunnelProtocol = 'SPDY/3.1+portforward.k8s.io';
/** Two channels for each port of the request: `2n` data, `2n + 1` error. */
export const portForwardProtocols = [tunnelProtocol, 'v4.channel.k8s.io', 'v4.base64.channel.k8s.io'];

/** Serves port-forward over an open WebSocket, in whichever protocol was agreed on. */
export function webSocketPortForward(
  connection: WebSocketConnection,
  { ports, connect }: { ports: number[]; connect: (port: number) => Promise<Socket> },
): void {
  const { webSocket, protocol, socket } = connection;
  if (protocol === tunnelProtocol) {
    servePortForward(createWebSocketStream(webSocket), { connect });
    return;
  }
  const channels = new ChannelSocket(connection);
  const streams = ports.map((port, index) => {
    const stream = channelStream(channels, { channel: 2 * index, webSocket, socket });
    void forward(port, { stream, connect, channels, errorChannel: 2 * index + 1 });
    return stream;
  });
  channels.listen((channel, bytes) => {
    const stream = channel % 2 === 0 ? streams[channel / 2] : undefined;
    if (stream === undefined || stream.destroyed || stream.push(bytes)) return;
    webSocket.pause();
    stream.once('room', watchHangUp(socket));
  });
  webSocket.once('close', () => {
    for (const stream of streams) stream.destroy(new Error('connection closed'));
  });
}

async function forward(
  port: number,
  options: {
    stream: Duplex;
    connect: (port: number) => Promise<Socket>;
    channels: ChannelSocket;
    errorChannel: number;
  },
): Promise<void> {
  const { stream, connect, channels, errorChannel } = options;
  // Each channel begins with the port that it is for.
  const head = Buffer.alloc(2);
  head.writeUInt16LE(port);
  channels.send(errorChannel - 1, head);
  channels.send(errorChannel, head);
  try {
    await joinStreams(stream, await connect(port));
  } catch (cause) {
    channels.send(errorChannel, Buffer.from(errorText(cause)));
    stream.destroy();
  }
}

function channelStream(
  channels: ChannelSocket,
  { channel, webSocket, socket }: { channel: number; webSocket: WebSocket; socket: Socket },
): Duplex {
  const stream = new Duplex({
    readableHighWaterMark: 256 * 1024,
    read() {
      if (webSocket.isPaused && !socket.destroyed) webSocket.resume();
      stream.emit('room');
    },
    write: (bytes: Buffer, _encoding, done) => channels.send(channel, bytes, () => done()),
  });
  return stream.on('error', () => {});
}
