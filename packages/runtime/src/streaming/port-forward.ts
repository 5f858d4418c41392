import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { peerHungUp } from '@amphipod/linux';
import { errorText } from '../errors.ts';
import { SpdyConnection } from '../spdy/connection.ts';
import type { SpdyStream } from '../spdy/stream.ts';
import { joinStreams } from './join-streams.ts';
import { negotiate } from './spdy-remote.ts';

const portForwardProtocol = 'portforward.k8s.io';
/** How long a client may leave a pair of streams incomplete. */
const pairTimeoutMs = 30_000;

type Connect = (port: number) => Promise<Socket>;

interface Pair {
  data?: SpdyStream;
  error?: SpdyStream;
  timer: NodeJS.Timeout;
}

/** Answers a SPDY/3.1 upgrade of port-forward and serves it. */
export function acceptSpdyPortForward(request: IncomingMessage, socket: Socket, connect: Connect): void {
  if (negotiate(request, socket, [portForwardProtocol]) === undefined) return;
  servePortForward(socket, { connect, hasHungUp: () => peerHungUp(socket) });
}

/**
 * Serves port-forward over SPDY on a socket: each connection is a pair of streams, `data` and `error`, of one `port`
 * and `requestid`. What breaks one of them stays with it.
 */
export function servePortForward(
  socket: Duplex,
  { connect, hasHungUp }: { connect: Connect; hasHungUp?: () => boolean },
): void {
  const pairs = new Map<string, Pair>();
  new SpdyConnection(socket, {
    role: 'server',
    ...(hasHungUp && { hasHungUp }),
    onStream(stream) {
      const { streamtype, port = '' } = stream.headers;
      if (!isPort(port) || (streamtype !== 'data' && streamtype !== 'error')) return false;
      const id = requestId(stream, streamtype);
      const pair = pairs.get(id) ?? { timer: expire(pairs, id) };
      if (pair[streamtype] !== undefined) return false;
      pair[streamtype] = stream;
      pairs.set(id, pair);
      if (pair.data === undefined || pair.error === undefined) return true;
      clearTimeout(pair.timer);
      pairs.delete(id);
      const { data, error } = pair;
      // Not before the reply is sent, which is when this returns.
      setImmediate(() => void forward(Number(port), { data, error, connect }));
      return true;
    },
  });
}

function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535;
}

/** Clients of old send none: there the error stream is opened first, and the data stream right after it. */
function requestId({ headers, id }: SpdyStream, type: 'data' | 'error'): string {
  return headers.requestid ?? `stream ${type === 'error' ? id : id - 2}`;
}

function expire(pairs: Map<string, Pair>, id: string): NodeJS.Timeout {
  return setTimeout(() => {
    const pair = pairs.get(id);
    pairs.delete(id);
    pair?.data?.destroy();
    pair?.error?.destroy();
  }, pairTimeoutMs).unref();
}

async function forward(
  port: number,
  { data, error, connect }: { data: SpdyStream; error: SpdyStream; connect: Connect },
): Promise<void> {
  error.resume();
  let target: Socket;
  try {
    target = await connect(port);
  } catch (cause) {
    error.end(errorText(cause));
    data.destroy();
    return;
  }
  // A connection that breaks later is reset and no more: on any text kubectl and crictl give up all the others with it.
  await joinStreams(data, target).catch(() => {});
  error.end();
}
