import assert from 'node:assert/strict';
import { Server as HttpServer } from 'node:http';
import { connect, createServer, type Server } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLog } from '../log.ts';
import { StreamingServer } from './server.ts';

const log = createLog({ level: 'error', write: () => {} });
const options = { address: '127.0.0.1', port: 0, tls: undefined, log };

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

test('a port that is taken keeps the server from starting, and is named (EXE-11)', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as { port: number };
  await assert.rejects(StreamingServer.start({ ...options, port }), {
    code: 'failed-precondition',
    message: `serve streams on 127.0.0.1:${port} (stream_address, stream_port)`,
  });
  other.close();
});

test('a TLS file that is not there is named', async () => {
  const tls = { certFile: '/no/such.crt', keyFile: '/no/such.key' };
  await assert.rejects(StreamingServer.start({ ...options, tls }), (error: Error) =>
    /no\/such\.crt/.test((error.cause as Error).message),
  );
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Ends what listens, behind the back of the server that has it. */
async function startMortal(t: TestContext, port: number) {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const listen = t.mock.method(HttpServer.prototype, 'listen');
  const server = await StreamingServer.start({ ...options, port });
  const listener = listen.mock.calls[0]!.this as Server;
  return { server, listen, kill: () => new Promise((resolve) => listener.close(resolve)) };
}

test('a listener that dies is noticed, and opened again on its port (EXE-11)', async (t) => {
  const port = await freePort();
  const { server, kill } = await startMortal(t, port);
  await using _server = server;
  assert.equal(await answers(port), true);
  await kill();
  assert.equal(await answers(port), false);
  t.mock.timers.tick(10_000);
  for (let i = 0; i < 100 && !(await answers(port)); i++) await sleep(20);
  assert.equal(await answers(port), true);
  assert.equal(server.problem, undefined);
});

test('while it cannot be opened again there is a problem and no URL, and later there are again (EXE-11)', async (t) => {
  const port = await freePort();
  const { server, kill, listen } = await startMortal(t, port);
  await using _server = server;
  await kill();
  listen.mock.mockImplementationOnce(function (this: Server) {
    setImmediate(() => this.emit('error', new Error('listen EADDRINUSE')));
    return this;
  } as never);
  t.mock.timers.tick(10_000);
  for (let i = 0; i < 100 && server.problem === undefined; i++) await sleep(20);
  assert.throws(() => server.urlFor({ kind: 'exec' } as never), { code: 'unavailable' });
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  t.mock.timers.tick(10_000);
  for (let i = 0; i < 100 && server.problem !== undefined; i++) await sleep(20);
  assert.equal(server.problem, undefined);
  assert.equal(await answers(port), true);
});
