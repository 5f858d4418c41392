import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { webSocketPortForward } from './websocket-port-forward.ts';
import { acceptWebSocket } from './websocket-upgrade.ts';

async function listen<T extends Server>(server: T): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}

test('v4: a reader that lags holds up the client, whatever the others read, until it goes', async (t) => {
  const stuck: Socket[] = [];
  const sink = createServer((socket) => stuck.push(socket.pause().on('error', () => {})));
  const echo = createServer((socket) => socket.pipe(socket).on('error', () => {}));
  const ports = [await listen(sink), await listen(echo)];
  const front = createHttpServer();
  front.on('upgrade', (request, socket: Socket, head) => {
    const protocol = 'v4.channel.k8s.io';
    acceptWebSocket(request, { socket, head, served: [protocol] }, (webSocket) => {
      const dial = async (port: number) => {
        const target = connect(port, '127.0.0.1');
        await once(target, 'connect');
        return target;
      };
      webSocketPortForward({ webSocket, protocol, socket }, { ports, connect: dial });
    });
  });
  const client = new WebSocket(`ws://127.0.0.1:${await listen(front)}`, ['v4.channel.k8s.io']);
  t.after(() => {
    client.terminate();
    for (const socket of stuck) socket.destroy();
    for (const server of [sink, echo, front]) server.close();
  });
  let echoed = 0;
  client.on('message', (message: Buffer) => {
    if (message[0] === 2) echoed += message.length - 1;
  });
  await once(client, 'open');
  const toSink = Buffer.alloc(64 * 1024);
  const toEcho = Buffer.concat([Buffer.from([2]), Buffer.alloc(1024)]);
  const rounds = 1024;
  for (let i = 0; i < rounds; i++) {
    client.send(toSink);
    client.send(toEcho);
    if (i % 16 === 0) await sleep(1);
  }
  await sleep(500);
  assert.ok(client.bufferedAmount > 32 << 20, `${client.bufferedAmount} bytes are left of 64 MiB`);
  for (const socket of stuck) socket.destroy();
  // Two bytes are the port, with which each channel begins.
  for (let i = 0; i < 100 && echoed < rounds * 1024 + 2; i++) await sleep(50);
  assert.equal(echoed, rounds * 1024 + 2);
});
