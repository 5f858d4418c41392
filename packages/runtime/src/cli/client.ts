import { type CallOptions, Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { ImageServiceService, RuntimeServiceService } from '../gen/api.ts';
import { NetworksService } from '../gen/networks.ts';
import { CriCallError, grpcStatus } from './errors.ts';
import { type StreamMethod, streamCall } from './stream-call.ts';

interface UnaryMethod<Q, R> {
  path: string;
  requestStream: false;
  responseStream: false;
  requestSerialize(value: Q): Buffer;
  responseDeserialize(bytes: Buffer): R;
}

export interface CriCallOptions {
  /** Until DEADLINE_EXCEEDED; 0 waits for ever. Two minutes when not given, as the kubelet. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** The unary methods of a service definition as functions that return promises. */
export type Calls<S> = {
  [K in keyof S as S[K] extends { responseStream: false } ? K : never]: S[K] extends UnaryMethod<
    infer Q,
    infer R
  >
    ? (request: Q, options?: CriCallOptions) => Promise<R>
    : never;
};

/** A connection to a CRI server. */
export interface CriClient extends Disposable {
  runtime: Calls<typeof RuntimeServiceService>;
  images: Calls<typeof ImageServiceService>;
  /** Of our own runtime. */
  networks: Calls<typeof NetworksService>;
  /** Calls a method whose answer is a stream, of our own runtime; leaving the loop over it cancels the call. */
  stream<Request, Response>(
    method: StreamMethod<Request, Response>,
    requests: Iterable<Request> | AsyncIterable<Request>,
  ): AsyncIterable<Response>;
}

const defaultTimeoutMs = 120_000;
// ExecSync may carry 16 MiB of each stream.
const maxMessageBytes = 64 << 20;

/** Connects to a CRI server; no byte is sent before the first call. */
export function connectCri(socket: string): CriClient {
  const client = new Client(`unix:${socket}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_send_message_length': maxMessageBytes,
    'grpc.enable_http_proxy': 0,
    // A local server is back at once or not at all; the default is a second.
    'grpc.initial_reconnect_backoff_ms': 50,
    'grpc.service_config_disable_resolution': 1,
  });
  return {
    runtime: bindCalls(RuntimeServiceService, client, socket),
    images: bindCalls(ImageServiceService, client, socket),
    networks: bindCalls(NetworksService, client, socket),
    stream: (method, requests) =>
      streamCall(client, { method, requests, toError: (error) => toCriError(error, socket) }),
    [Symbol.dispose]: () => client.close(),
  };
}

function bindCalls<S extends object>(service: S, client: Client, socket: string): Calls<S> {
  const calls: Record<string, unknown> = {};
  for (const [name, method] of Object.entries(service)) {
    if (method.responseStream) continue;
    calls[name] = (request: unknown, options: CriCallOptions = {}) =>
      unaryCall(client, socket, { method, request, ...options });
  }
  return calls as Calls<S>;
}

interface UnaryCall extends CriCallOptions {
  method: UnaryMethod<unknown, unknown>;
  request: unknown;
}

function unaryCall(client: Client, socket: string, call: UnaryCall): Promise<unknown> {
  const { method, request, signal, timeoutMs = defaultTimeoutMs } = call;
  const options: CallOptions = timeoutMs === 0 ? {} : { deadline: Date.now() + timeoutMs };
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const running = client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      new Metadata(),
      options,
      (error, response) => {
        signal?.removeEventListener('abort', cancel);
        if (error) reject(toCriError(error, socket));
        else resolve(response);
      },
    );
    const cancel = () => running.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
  });
}

function toCriError(error: ServiceError, socket: string): CriCallError {
  const text = error.details || error.message;
  const fail = (message: string) => new CriCallError(error.code, message, error);
  if (error.code === grpcStatus.UNIMPLEMENTED)
    return fail(`the runtime at ${socket} does not do this: ${text}`);
  // A server may say UNAVAILABLE too: these texts are those of our own end.
  if (error.code === grpcStatus.UNAVAILABLE && text.startsWith('No connection established')) {
    return fail(`cannot reach the runtime at ${socket}: ${connectCause(text)}`);
  }
  if (error.code === grpcStatus.UNAVAILABLE && /^Connection dropped|ECONNRESET/.test(text)) {
    return fail(`the runtime at ${socket} ended during the call`);
  }
  return fail(text);
}

function connectCause(text: string): string {
  if (/ENOENT|ECONNREFUSED/.test(text)) return 'is "amphipod up" running?';
  if (/EACCES|EPERM/.test(text)) return 'permission denied (it belongs to root)';
  return text;
}
