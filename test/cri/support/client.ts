import { type CallOptions, Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import * as api from '../../../packages/runtime/src/gen/api.ts';

/** A message of which only the fields that matter are given; the others get their default. */
export type Given<T> = T extends bigint
  ? bigint | number
  : T extends Uint8Array | string | number | boolean | undefined
    ? T
    : T extends (infer U)[]
      ? Given<U>[]
      : { [K in keyof T]?: Given<T[K]> };

interface Method<Q, R> {
  path: string;
  responseStream: boolean;
  requestSerialize(value: Q): Buffer;
  responseDeserialize(bytes: Buffer): R;
}

export interface CallLimits {
  /** Deadline of the call; default 120 s. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

type Calls<S> = {
  [K in keyof S as S[K] extends { responseStream: false } ? K : never]: S[K] extends Method<infer Q, infer R>
    ? (request?: Given<Q>, limits?: CallLimits) => Promise<R>
    : never;
};

type Streams<S> = {
  [K in keyof S as S[K] extends { responseStream: true } ? K : never]: S[K] extends Method<infer Q, infer R>
    ? (request?: Given<Q>, limits?: CallLimits) => Stream<R>
    : never;
};

/** Messages as they come. They are taken from the wire only as fast as they are asked for. */
export interface Stream<R> extends AsyncIterable<R> {
  /** Resolves when the server has opened the stream. */
  readonly open: Promise<void>;
  cancel(): void;
}

/**
 * Every unary call of both CRI services as a function that returns a promise, every streaming one as a function that
 * returns the stream; they fail with grpc-js's ServiceError.
 */
export type Cri = Calls<typeof api.RuntimeServiceService> &
  Calls<typeof api.ImageServiceService> &
  Streams<typeof api.RuntimeServiceService> &
  Streams<typeof api.ImageServiceService> &
  Disposable;

/**
 * Connects to a CRI server. This client is apart from the command line's own one, so that the suites judge a server by
 * the wire alone, and so that a request can be written with the few fields it is about.
 */
export function connect(socket: string): Cri {
  const client = new Client(`unix:${socket}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': 64 << 20,
    'grpc.max_send_message_length': 64 << 20,
    'grpc.initial_reconnect_backoff_ms': 50,
    'grpc.max_reconnect_backoff_ms': 200,
  });
  const calls: Record<string, unknown> = {};
  for (const service of [api.RuntimeServiceService, api.ImageServiceService]) {
    for (const [name, method] of Object.entries(service)) {
      calls[name] = (method.responseStream ? streaming : unary)(
        client,
        name,
        method as Method<unknown, unknown>,
      );
    }
  }
  return { ...calls, [Symbol.dispose]: () => client.close() } as unknown as Cri;
}

interface RequestType {
  fromPartial(given: unknown): unknown;
}

function requestType(name: string): RequestType {
  const messages = api as unknown as Record<string, RequestType>;
  if (name === 'getContainerEvents') return api.GetEventsRequest;
  return messages[`${name[0]!.toUpperCase()}${name.slice(1)}Request`]!;
}

function streaming(client: Client, name: string, method: Method<unknown, unknown>) {
  const request = requestType(name);
  return (given: unknown = {}, { timeoutMs = 120_000 }: CallLimits = {}): Stream<unknown> => {
    const call = client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request.fromPartial(given),
      new Metadata(),
      { deadline: Date.now() + timeoutMs },
    );
    const open = new Promise<void>((resolve, reject) => {
      call.once('metadata', () => resolve());
      call.once('error', reject);
    });
    // A failure is for whoever iterates; `open` need not be waited for.
    open.catch(() => {});
    return {
      open,
      cancel: () => call.cancel(),
      [Symbol.asyncIterator]: () => call[Symbol.asyncIterator]() as AsyncIterator<unknown>,
    };
  };
}

function unary(client: Client, name: string, method: Method<unknown, unknown>) {
  const request = requestType(name);
  return (given: unknown = {}, { timeoutMs = 120_000, signal }: CallLimits = {}): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const options: CallOptions = { deadline: Date.now() + timeoutMs };
      const call = client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request.fromPartial(given),
        new Metadata(),
        options,
        (error: ServiceError | null, response: unknown) => (error ? reject(error) : resolve(response)),
      );
      signal?.addEventListener('abort', () => call.cancel(), { once: true });
    });
}
