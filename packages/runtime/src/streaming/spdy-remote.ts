import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';
import { peerHungUp } from '@amphipod/linux';
import { SpdyConnection } from '../spdy/connection.ts';
import type { SpdyStream } from '../spdy/stream.ts';
import { goneSignal, releaseSocket, stallWatch } from './connected-client.ts';
import { offeredProtocols, refuseUpgrade, switchProtocols } from './http-upgrade.ts';
import type { RemoteClient, WantedStreams } from './session.ts';
import { outcomeText } from './status.ts';
import { TerminalSizes } from './terminal-sizes.ts';

const protocols = ['v4', 'v3', 'v2', ''].map((version) => `${version && `${version}.`}channel.k8s.io`);
/** How long a client may take to open its streams. */
const creationTimeoutMs = 30_000;

/**
 * Answers a SPDY/3.1 upgrade of exec or attach and waits for the client's streams: `error`, those that it wants, and
 * `resize` for a terminal from v3 on.
 * @returns undefined when the client was refused or went away
 */
export async function acceptSpdyRemote(
  request: IncomingMessage,
  socket: Socket,
  wants: WantedStreams,
): Promise<RemoteClient | undefined> {
  const protocol = negotiate(request, socket, protocols);
  if (protocol === undefined) return undefined;
  const expected = new Set(['error', ...streamNames(wants)]);
  if (wants.tty && !['channel.k8s.io', 'v2.channel.k8s.io'].includes(protocol)) expected.add('resize');
  const streams = new Map<string, SpdyStream>();
  const complete = Promise.withResolvers<boolean>();
  const connection = new SpdyConnection(socket, {
    role: 'server',
    hasHungUp: () => peerHungUp(socket),
    onStream(stream) {
      const name = stream.headers.streamtype ?? '';
      if (!expected.has(name) || streams.has(name)) return false;
      streams.set(name, stream);
      // Not before its reply is sent, which is when this returns.
      if (streams.size === expected.size) setImmediate(() => complete.resolve(true));
      return true;
    },
  });
  void connection.closed.then(() => complete.resolve(false));
  const timer = setTimeout(() => connection.destroy(), creationTimeoutMs);
  const isComplete = await complete.promise;
  clearTimeout(timer);
  return isComplete ? remoteClient(connection, { socket, streams, protocol }) : undefined;
}

function streamNames({ stdin, stdout, stderr }: WantedStreams): string[] {
  return [...(stdin ? ['stdin'] : []), ...(stdout ? ['stdout'] : []), ...(stderr ? ['stderr'] : [])];
}

/**
 * Picks the first protocol of the client's that is served and switches to SPDY; refuses the client when there is none.
 */
export function negotiate(
  request: IncomingMessage,
  socket: Duplex,
  served: readonly string[],
): string | undefined {
  const offered = offeredProtocols(request.headers['x-stream-protocol-version']);
  if (offered.length === 0) {
    refuseUpgrade(socket, 400, 'X-Stream-Protocol-Version: missing');
    return undefined;
  }
  const protocol = offered.find((one) => served.includes(one));
  if (protocol === undefined) {
    const accepted = { 'X-Accepted-Stream-Protocol-Versions': served.join(', ') };
    refuseUpgrade(socket, 403, `no protocol of ${offered.join(', ')} is served`, accepted);
    return undefined;
  }
  switchProtocols(socket, { Upgrade: 'SPDY/3.1', 'X-Stream-Protocol-Version': protocol });
  return protocol;
}

function remoteClient(
  connection: SpdyConnection,
  { socket, streams, protocol }: { socket: Socket; streams: Map<string, SpdyStream>; protocol: string },
): RemoteClient {
  const sizes = new TerminalSizes();
  streams.get('resize')?.on('data', (bytes: Buffer) => sizes.receive(bytes));
  const errors = streams.get('error')!;
  // What clients send on it is nothing but its end.
  errors.resume();
  const outputs = ['stdout', 'stderr'].flatMap((name) => streams.get(name) ?? []);
  for (const output of outputs) output.resume();
  const named = Object.fromEntries([...streams].filter(([name]) => name.startsWith('std')));
  return {
    ...named,
    sizes,
    gone: goneSignal(socket),
    endWhenStalled: stallWatch(socket),
    async finish(outcome) {
      // A client takes the end of its outputs for the sign to look at the outcome.
      await Promise.allSettled(outputs.map((output) => finished(output.end(), { readable: false })));
      errors.end(outcomeText(outcome, protocol));
      await finished(errors, { readable: false }).catch(() => {});
      connection.close();
      releaseSocket(socket);
    },
  };
}
