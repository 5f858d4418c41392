import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { createWebSocketStream } from 'ws';
import { errorText } from '../errors.ts';
import { ChannelSocket, inputBufferBytes, type WebSocketConnection } from './channel-socket.ts';
import { joinStreams } from './join-streams.ts';
import { servePortForward } from './port-forward.ts';

/** A SPDY connection in binary messages. */
const tunnelProtocol = 'SPDY/3.1+portforward.k8s.io';
/** Two channels for each port of the request: `2n` data, `2n + 1` error. */
export const portForwardProtocols = [tunnelProtocol, 'v4.channel.k8s.io', 'v4.base64.channel.k8s.io'];

/** Serves port-forward over an open WebSocket, in whichever protocol was agreed on. */
export function webSocketPortForward(
  connection: WebSocketConnection,
  { ports, connect }: { ports: number[]; connect: (port: number) => Promise<Socket> },
): void {
  const { webSocket, protocol } = connection;
  if (protocol === tunnelProtocol) {
    servePortForward(createWebSocketStream(webSocket), { connect });
    return;
  }
  const channels = new ChannelSocket(connection);
  const streams = ports.map((port, index) => {
    const stream = channelStream(channels, 2 * index);
    void forward(port, { stream, connect, channels, errorChannel: 2 * index + 1 });
    return stream;
  });
  channels.listen((channel, bytes) => {
    const stream = channel % 2 === 0 ? streams[channel / 2] : undefined;
    if (stream !== undefined) channels.deliver(bytes, stream);
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

function channelStream(channels: ChannelSocket, channel: number): Duplex {
  const stream = new Duplex({
    readableHighWaterMark: inputBufferBytes,
    read: () => channels.hasRoom(stream),
    write: (bytes: Buffer, _encoding, done) => channels.send(channel, bytes, () => done()),
  });
  return stream.on('error', () => {});
}
