import { createServer, type Server, type Socket } from 'node:net';
import type { GobObject, GobStruct } from './gob-types.ts';
import { RPC_CONNECTED, RPC_PATH } from './rpc-client.ts';
import { type CmdArgs, decodeCmdArgs, emptyBody, rpcResponse } from './rpc-messages.ts';
import { RpcStream } from './rpc-stream.ts';

/** What a method answers. */
export interface RpcAnswer {
  type: GobStruct;
  body: GobObject;
}

/** A method of the daemon; `signal` is aborted when the caller hangs up. What it throws goes to the caller as text. */
export type RpcMethod = (args: CmdArgs, signal: AbortSignal) => Promise<RpcAnswer>;

/** Serves methods by name, as Go's `rpc.HandleHTTP` does. The server does not listen yet. */
export function createRpcServer(methods: Readonly<Record<string, RpcMethod>>): Server {
  return createServer((socket) => {
    serve(socket, methods).catch(() => {
      // Not one of our peers, or one that is gone: nobody is left to tell.
      socket.destroy();
    });
  });
}

async function serve(socket: Socket, methods: Readonly<Record<string, RpcMethod>>): Promise<void> {
  const hangUp = new AbortController();
  socket.on('error', () => {});
  socket.on('close', () => hangUp.abort(new Error('the caller hung up')));
  const stream = new RpcStream(socket);
  const [request = ''] = await stream.readHeader();
  if (!request.startsWith(`CONNECT ${RPC_PATH} `)) {
    socket.end(
      'HTTP/1.0 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n405 must CONNECT\n',
    );
    return;
  }
  stream.write(`HTTP/1.0 ${RPC_CONNECTED}\n\n`);
  for (;;) {
    const header = await stream.receive();
    const body = header && (await stream.receive());
    if (header === undefined || body === undefined) break;
    const { ServiceMethod = '', Seq = 0 } = header;
    const { error, answer } = await outcome(methods[String(ServiceMethod)], {
      name: String(ServiceMethod),
      body,
      signal: hangUp.signal,
    });
    stream.send(rpcResponse, { ServiceMethod, Seq, Error: error });
    stream.send(answer.type, answer.body);
  }
  socket.end();
}

async function outcome(
  method: RpcMethod | undefined,
  { name, body, signal }: { name: string; body: GobObject; signal: AbortSignal },
): Promise<{ error: string; answer: RpcAnswer }> {
  const nothing = { type: emptyBody, body: {} };
  if (method === undefined) return { error: `rpc: can't find method ${name}`, answer: nothing };
  try {
    return { error: '', answer: await method(decodeCmdArgs(body), signal) };
  } catch (error) {
    return { error: (error as Error).message, answer: nothing };
  }
}
