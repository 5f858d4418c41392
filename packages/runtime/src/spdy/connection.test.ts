import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Duplex, duplexPair } from 'node:stream';
import { finished } from 'node:stream/promises';
import { test } from 'node:test';
import { SpdyConnection } from './connection.ts';
import { controlFrame, dataHead, FLAG_FIN, FRAME, synStream } from './frames.ts';
import { HeaderEncoder } from './headers.ts';
import type { SpdyStream } from './stream.ts';

interface Pair {
  client: SpdyConnection;
  server: SpdyConnection;
  /** Under the server. */
  socket: Duplex;
  /** Opens a stream; returns both ends. */
  open(headers?: Record<string, string>): Promise<[SpdyStream, SpdyStream]>;
}

function pair(accept = true): Pair {
  const [a, b] = duplexPair();
  const opened: ((stream: SpdyStream) => void)[] = [];
  const onStream = (stream: SpdyStream) => {
    opened.shift()?.(stream);
    return accept;
  };
  const server = new SpdyConnection(b, { role: 'server', onStream });
  const client = new SpdyConnection(a, { role: 'client', onStream: () => false });
  return {
    client,
    server,
    socket: b,
    async open(headers = {}) {
      const there = new Promise<SpdyStream>((resolve) => opened.push(resolve));
      return [client.open(headers), await there];
    },
  };
}

async function textOf(stream: SpdyStream): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += chunk;
  return text;
}

test('headers, data both ways, each half ends by itself', async () => {
  const { open } = pair();
  const [mine, yours] = await open({ streamtype: 'stdin', port: '80' });
  assert.deepEqual({ ...yours.headers }, { streamtype: 'stdin', port: '80' });
  mine.end('question');
  assert.equal(await textOf(yours), 'question');
  yours.end('answer');
  assert.equal(await textOf(mine), 'answer');
});

test('a refused stream is reset, the connection goes on', async () => {
  const { client } = pair(false);
  for (let i = 0; i < 2; i++) {
    const stream = client.open({ streamtype: 'none' });
    await assert.rejects(finished(stream), /reset by the other side/);
  }
});

test('resetting one stream leaves the others', async () => {
  const { open } = pair();
  const [first, second] = [await open(), await open()];
  first[0].destroy();
  await assert.rejects(finished(first[1]), /reset/);
  second[0].end('alive');
  assert.equal(await textOf(second[1]), 'alive');
});

test('what came in whole can be read after the connection has ended', async () => {
  const { open, server, client } = pair();
  const [mine, yours] = await open();
  const [unfinished, other] = await open();
  const bytes = Buffer.alloc(200_000, 'x');
  yours.end(bytes);
  other.write('half');
  await once(unfinished, 'readable');
  server.close();
  client.close();
  await Promise.all([server.closed, client.closed]);
  assert.equal((await textOf(mine)).length, bytes.length);
  await assert.rejects(finished(unfinished), /connection closed/);
});

test('a reader that lags holds up the sender, not the memory', async () => {
  const { open } = pair();
  const [mine, yours] = await open();
  const piece = Buffer.alloc(64 * 1024);
  let sent = 0;
  const pump = () => {
    while (sent < 16 << 20) {
      sent += piece.length;
      if (!mine.write(piece)) return;
    }
    mine.end();
  };
  mine.on('drain', pump);
  pump();
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.ok(sent < 4 << 20, `${sent} bytes sent to a reader that reads nothing`);
  let received = 0;
  for await (const chunk of yours) received += (chunk as Buffer).length;
  assert.equal(received, sent);
});

test('a window that is granted behind data for a reader that lags is not waited for', {
  timeout: 10_000,
}, async () => {
  const [peer, socket] = duplexPair();
  const { promise: opened, resolve } = Promise.withResolvers<SpdyStream>();
  const server = new SpdyConnection(socket, {
    role: 'server',
    onStream(stream) {
      resolve(stream);
      return true;
    },
  });
  peer.resume();
  peer.write(synStream(1, new HeaderEncoder().encode({})));
  // Windows are granted here.
  peer.write(controlFrame(FRAME.WINDOW_UPDATE, [0, 1]));
  const stream = await opened;
  const pause = () => new Promise((wait) => setTimeout(wait, 50));
  await pause();
  const echo = new Promise<void>((sent) => stream.write(Buffer.alloc(1 << 20), () => sent()));
  const input = Buffer.alloc(400_000);
  peer.write(Buffer.concat([dataHead(1, input.length), input]));
  // The server has stopped reading by now.
  await pause();
  for (const id of [0, 1]) peer.write(controlFrame(FRAME.WINDOW_UPDATE, [id, 1 << 20]));
  // A reader that reads on when what it wrote is gone, as a pipe through a command is.
  await echo;
  stream.resume();
  peer.end(dataHead(1, 0, FLAG_FIN));
  await server.closed;
});

test('headers that cannot be unpacked end the connection', async () => {
  const [a, b] = duplexPair();
  const server = new SpdyConnection(b, { role: 'server', onStream: () => true });
  // SYN_STREAM 1: ten bytes of its head, and eight that are no zlib stream.
  a.on('error', () => {}).write(Buffer.from('800300010000001200000001000000000000ffffffffffffffff', 'hex'));
  const late = new Promise((_, reject) => setTimeout(reject, 2000, new Error('still open')).unref());
  await Promise.race([server.closed, late]);
});
