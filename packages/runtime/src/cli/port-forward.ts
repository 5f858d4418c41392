import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { SpdyConnection } from '../spdy/connection.ts';
import { defineCommand } from './command.ts';
import { CliError, UsageError } from './errors.ts';
import { findPod } from './find-pod.ts';
import { openSpdy } from './spdy-client.ts';

const protocols = ['portforward.k8s.io'];

/** A port of ours (0: any free one) for a port of the pod. */
interface ForwardedPort {
  local: number;
  remote: number;
}

export const command = defineCommand({
  name: 'port-forward',
  summary: 'Make ports of a pod reachable on this machine',
  operands: 'POD [LOCAL:]REMOTE...',
  arity: [2, Number.POSITIVE_INFINITY],
  options: {
    address: { type: 'string', value: 'ADDRESS', help: 'where to listen (127.0.0.1)' },
  },
  details: `Leads to the pod's localhost, so that also programs that listen only there can be reached. Goes on until Ctrl-C.
":REMOTE" picks a free port of ours.

Examples:
  amphipod port-forward web 8080:80
  amphipod port-forward default/web 8080:80 :9090`,
  async run([reference = '', ...texts], { address = '127.0.0.1' }, { client, stdout, stderr }) {
    const ports = texts.map(parseForwardedPort);
    const cri = await client();
    const podSandboxId = await findPod(cri, reference);
    const { url } = await cri.runtime.portForward({ podSandboxId, port: ports.map(({ remote }) => remote) });
    const connection = await openSpdy(url, protocols);
    const say = (text: string) => stderr.write(`amphipod: port-forward: ${text}\n`);
    const servers: Server[] = [];
    let requestId = 0;
    try {
      for (const { local, remote } of ports) {
        const server = await listen({ address, port: local });
        servers.push(server);
        server.on('connection', (socket) => {
          requestId++;
          forwardConnection(connection, { socket, port: remote, requestId, say });
        });
        stdout.write(`${address}:${(server.address() as { port: number }).port} -> ${remote}\n`);
      }
      const reason = await Promise.race([interrupted(), connection.closed.then(() => 'lost' as const)]);
      if (reason === 'lost') throw new CliError('connection lost');
      return 0;
    } finally {
      for (const server of servers) server.close();
      connection.destroy();
    }
  },
});

/** Reads `LOCAL:REMOTE`, `:REMOTE` or `PORT`, which means the same port here. @throws UsageError */
function parseForwardedPort(text: string): ForwardedPort {
  const [, colon, local = '', remote = ''] = /^((\d*):)?(\d+)$/.exec(text) ?? [];
  const port = { local: Number(colon === undefined ? remote : local), remote: Number(remote) };
  if (remote !== '' && port.remote >= 1 && port.remote <= 65_535 && port.local <= 65_535) return port;
  throw new UsageError(`port "${text}": expected [LOCAL:]REMOTE, numbers up to 65535`);
}

async function listen(where: { address: string; port: number }): Promise<Server> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(where.port, where.address);
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new CliError((cause as Error).message, { cause });
  }
  return server;
}

interface ForwardedConnection {
  socket: Socket;
  port: number;
  /** Unique in the session. */
  requestId: number;
  say(text: string): void;
}

/** One connection: an error stream and a data stream of the session. What breaks it does not end the others. */
function forwardConnection(
  connection: SpdyConnection,
  { socket, port, requestId, say }: ForwardedConnection,
): void {
  const headers = { port: `${port}`, requestid: `${requestId}` };
  const errors = connection.open({ streamtype: 'error', ...headers });
  errors.end();
  errors.setEncoding('utf8').on('data', (text: string) => say(text.trim()));
  const data = connection.open({ streamtype: 'data', ...headers });
  socket.on('error', () => data.destroy());
  data.on('close', () => {
    if (!data.readableEnded || !data.writableFinished) socket.destroy();
  });
  socket.pipe(data).pipe(socket);
}

function interrupted(): Promise<'interrupted'> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve('interrupted'));
  });
}
