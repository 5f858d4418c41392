import {
  Client,
  type ClientDuplexStream,
  credentials,
  type CallOptions as GrpcCallOptions,
  Metadata,
  type MethodDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { FabricError } from '../errors.ts';

const CALL_TIMEOUT_MS = 5_000;
const CONNECT_PATTERN = /^(https?:\/\/)?([^/]+)\/?$|^(unix:\/.+)$/;

export interface EtcdTls {
  /** PEM; the system's own authorities when not given. */
  ca?: Buffer;
  /** PEM, both or neither. */
  cert?: Buffer;
  key?: Buffer;
}

export interface EtcdClientOptions {
  /** `http://127.0.0.1:2379`, `https://…`, `127.0.0.1:2379` or `unix:/PATH`. */
  endpoints: readonly string[];
  /** For https endpoints. */
  tls?: EtcdTls;
  /** Of one call at one endpoint; 5 s unless given. */
  timeoutMs?: number;
}

/** A request with one answer; of a method with streams the first message each way. */
export interface EtcdCall<Q, R> {
  /** For errors: `put "/coreos.com/network/config"`. */
  what: string;
  method: MethodDefinition<Q, R>;
  request: Q;
  /** To make it twice does no harm: a read, a renewal, a lease that nobody uses. */
  isRepeatable: boolean;
  signal?: AbortSignal | undefined;
}

/** Connections to the members of an etcd cluster: all calls go to one of them, and to the next when it does not answer. */
export class EtcdClient implements Disposable {
  readonly #clients: Client[];
  readonly #timeoutMs: number;
  readonly #tls: EtcdTls | undefined;
  readonly endpoints: readonly string[];
  #current = 0;

  constructor({ endpoints, tls, timeoutMs = CALL_TIMEOUT_MS }: EtcdClientOptions) {
    if (endpoints.length === 0)
      throw new FabricError('invalid-config', 'connect to etcd: no endpoints given');
    this.endpoints = endpoints;
    this.#timeoutMs = timeoutMs;
    this.#tls = tls;
    this.#clients = endpoints.map((endpoint) => connect(endpoint, tls));
  }

  /**
   * Makes a call: one that may be repeated at every endpoint until one answers, another at the next one only when it has surely
   * not been sent.
   * @throws FabricError `unavailable`, `datastore-error`
   */
  async call<Q, R>(call: EtcdCall<Q, R>): Promise<R> {
    let failure: ServiceError | undefined;
    for (let tries = 0; tries < this.#clients.length; tries++) {
      const at = this.#current;
      try {
        return await this.#callAt(at, call);
      } catch (error) {
        call.signal?.throwIfAborted();
        failure = error as ServiceError;
        if (!isAbsent(failure)) break;
        if (failure.code === status.DEADLINE_EXCEEDED) this.#reconnect(at);
        this.#leave(at);
        if (!call.isRepeatable && !isUnsent(failure)) break;
      }
    }
    throw etcdError(call.what, failure!, this.endpoints);
  }

  /** Opens a stream at the endpoint of the moment; `leave` says that it failed there. */
  openStream<Q, R>(
    method: MethodDefinition<Q, R>,
    metadata: Metadata = new Metadata(),
  ): { stream: ClientDuplexStream<Q, R>; leave: () => void } {
    const at = this.#current;
    const { path, requestSerialize, responseDeserialize } = method;
    const stream = this.#clients[at]!.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      metadata,
    );
    return { stream, leave: () => this.#leave(at) };
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients) client.close();
  }

  /** A connection that said nothing may have been that of an address which this node has no more. */
  #reconnect(at: number): void {
    const silent = this.#clients[at]!;
    this.#clients[at] = connect(this.endpoints[at]!, this.#tls);
    silent.close();
  }

  /** The next call goes to another endpoint, unless one has gone there already. */
  #leave(at: number): void {
    if (this.#current === at) this.#current = (at + 1) % this.#clients.length;
  }

  #callAt<Q, R>(at: number, call: EtcdCall<Q, R>): Promise<R> {
    const { signal } = call;
    const options: GrpcCallOptions = { deadline: Date.now() + this.#timeoutMs };
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const settle = (error: ServiceError | null, answer?: R) => {
        signal?.removeEventListener('abort', cancel);
        if (error === null) resolve(answer!);
        else reject(signal?.aborted ? signal.reason : error);
      };
      const start = call.method.requestStream ? startStream : startUnary;
      const running = start(this.#clients[at]!, call, { options, settle });
      const cancel = () => running.cancel();
      signal?.addEventListener('abort', cancel, { once: true });
    });
  }
}

interface Start<R> {
  options: GrpcCallOptions;
  settle: (error: ServiceError | null, answer?: R) => void;
}

function startUnary<Q, R>(client: Client, { method, request }: EtcdCall<Q, R>, how: Start<R>) {
  const { path, requestSerialize, responseDeserialize } = method;
  const metadata = new Metadata();
  const { options, settle } = how;
  return client.makeUnaryRequest(
    path,
    requestSerialize,
    responseDeserialize,
    request,
    metadata,
    options,
    settle,
  );
}

function startStream<Q, R>(client: Client, { method, request }: EtcdCall<Q, R>, how: Start<R>) {
  const { path, requestSerialize, responseDeserialize } = method;
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, how.options);
  stream.on('data', (answer: R) => how.settle(null, answer));
  stream.on('error', (error: ServiceError) => how.settle(error));
  stream.write(request);
  stream.end();
  return stream;
}

function connect(endpoint: string, tls: EtcdTls | undefined): Client {
  const [, scheme = 'http://', host, socket] = CONNECT_PATTERN.exec(endpoint) ?? [];
  const address = host ?? socket;
  if (address === undefined) {
    throw new FabricError(
      'invalid-config',
      `connect to etcd: endpoint ${JSON.stringify(endpoint)} is not of the form http://HOST:PORT`,
    );
  }
  const security =
    scheme === 'https://'
      ? credentials.createSsl(tls?.ca ?? null, tls?.key ?? null, tls?.cert ?? null)
      : credentials.createInsecure();
  return new Client(address, security, {
    // The leases of a large cluster come in one answer.
    'grpc.max_receive_message_length': -1,
    'grpc.enable_http_proxy': 0,
    // Else a new client takes over the connection of the one that it replaces.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.service_config_disable_resolution': 1,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 2_000,
    // A watch says nothing for hours: without this a dead member would not be noticed.
    'grpc.keepalive_time_ms': 10_000,
    'grpc.keepalive_timeout_ms': 5_000,
  });
}

/** True when the endpoint, not the request, is at fault. */
function isAbsent({ code, details }: ServiceError): boolean {
  switch (code) {
    case status.UNAVAILABLE:
    case status.DEADLINE_EXCEEDED:
      return true;
    // Without a leader a member waits as long as we do, and sometimes notices first that the time is over.
    case status.UNKNOWN:
      return /context (deadline exceeded|canceled)/.test(details);
    case status.RESOURCE_EXHAUSTED:
      return details.includes('too many requests');
    default:
      return false;
  }
}

/** grpc-js says so when it had no connection to send anything over. */
function isUnsent({ details }: ServiceError): boolean {
  return /^(No connection established|Name resolution failed)/.test(details);
}

/** As an error of ours: `put "/a": etcd at http://127.0.0.1:2379 does not answer: …`. */
export function etcdError(what: string, error: ServiceError, endpoints: readonly string[]): FabricError {
  const where = `etcd at ${endpoints.join(', ')}`;
  return isAbsent(error)
    ? new FabricError('unavailable', `${what}: ${where} does not answer: ${error.details}`, { cause: error })
    : new FabricError('datastore-error', `${what}: ${where} refuses: ${error.details}`, { cause: error });
}
