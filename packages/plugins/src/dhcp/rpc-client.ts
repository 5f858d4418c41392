import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { CniError } from '@amphipod/cni';
import { errnoInfo } from '@amphipod/linux';
import type { GobObject } from './gob-types.ts';
import { type CmdArgs, cmdArgs, encodeCmdArgs, rpcRequest } from './rpc-messages.ts';
import { RpcStream } from './rpc-stream.ts';

export const RPC_PATH = '/_goRPC_';
export const RPC_CONNECTED = '200 Connected to Go RPC';

export type DhcpMethod = 'DHCP.Allocate' | 'DHCP.Release';

/** Nobody listens on the daemon's socket. */
export class NoDaemonError extends CniError {}

/**
 * Calls a DHCP daemon, this project's or the reference's, as Go's `rpc.DialHTTP` and `Call` do; gives the body of the answer.
 * @throws NoDaemonError; CniError with the daemon's words; the signal's reason
 */
export async function callDaemon(
  socketPath: string,
  method: DhcpMethod,
  { args, signal }: { args: CmdArgs; signal: AbortSignal },
): Promise<GobObject> {
  return await withStream(socketPath, signal, async (stream) => {
    stream.send(rpcRequest, { ServiceMethod: method });
    stream.send(cmdArgs, encodeCmdArgs(args));
    const response = await stream.receive();
    if (response === undefined) throw callError(method, 'unexpected EOF');
    if (typeof response.Error === 'string' && response.Error !== '') throw callError(method, response.Error);
    const body = await stream.receive();
    if (body === undefined) throw callError(method, 'unexpected EOF');
    return body;
  });
}

/** Whether a daemon answers. @throws NoDaemonError, CniError */
export async function pingDaemon(socketPath: string, signal: AbortSignal): Promise<void> {
  await withStream(socketPath, signal, async () => {});
}

async function withStream<T>(
  socketPath: string,
  signal: AbortSignal,
  work: (stream: RpcStream) => Promise<T>,
): Promise<T> {
  const socket = await connect(socketPath);
  const abort = () => socket.destroy(signal.reason as Error);
  signal.addEventListener('abort', abort);
  try {
    signal.throwIfAborted();
    const stream = new RpcStream(socket);
    stream.write(`CONNECT ${RPC_PATH} HTTP/1.0\n\n`);
    const [status = ''] = await stream.readHeader();
    if (!status.endsWith(RPC_CONNECTED)) {
      throw new CniError('internal', `error dialing DHCP daemon: unexpected HTTP response: ${status}`);
    }
    return await work(stream);
  } finally {
    signal.removeEventListener('abort', abort);
    socket.destroy();
  }
}

async function connect(socketPath: string): Promise<Socket> {
  const socket = createConnection(socketPath);
  try {
    await once(socket, 'connect');
    return socket;
  } catch (cause) {
    const { errno = 0, message } = cause as NodeJS.ErrnoException;
    const why = errno === 0 ? message : errnoInfo(-errno)[1];
    throw new NoDaemonError(
      'internal',
      `error dialing DHCP daemon: dial unix ${socketPath}: connect: ${why}`,
      {
        details: 'start it with "amphipod cni dhcp-daemon", or "dhcp daemon" of the plugin directory',
        cause,
      },
    );
  }
}

function callError(method: DhcpMethod, why: string): CniError {
  return new CniError('internal', `error calling ${method}: ${why}`);
}
