import { chmodSync, rmSync } from 'node:fs';
import { isIP } from 'node:net';
import {
  type handleBidiStreamingCall,
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
} from '@grpc/grpc-js';
import { FabricError } from '../../errors.ts';
import {
  type KVServer,
  KVService,
  type LeaseKeepAliveRequest,
  type LeaseKeepAliveResponse,
  type LeaseServer,
  LeaseService,
  type WatchServer,
  WatchService,
} from '../../gen/etcd.ts';
import { range, txn } from './kv.ts';
import { leaseGrant, leaseKeepAlive, leaseRevoke } from './lease.ts';
import type { ServedStore } from './served-store.ts';
import { statusError } from './status-error.ts';
import { watch } from './watch.ts';

export interface ServeOptions {
  /** `ADDRESS:PORT`, an IPv6 address in brackets, port 0 for any; or `unix:/PATH`, for root only. */
  address: string;
  /** Both sides show certificates of this authority; PEM. Must be given for addresses that are not of this machine alone. */
  tls?: { ca: Buffer; cert: Buffer; key: Buffer };
  /** Lets everybody who reaches the address read and write. */
  isOpen?: boolean;
}

/** A datastore that is being served. */
export interface DatastoreServer extends AsyncDisposable {
  /** What an etcd client is given: `http://127.0.0.1:2379`. */
  endpoint: string;
}

/**
 * Serves a datastore over gRPC with what {@link openEtcdDatastore} needs of etcd's API, so that the agents of other nodes can
 * use it. The store stays the caller's.
 * @throws FabricError `invalid-config` for an address that everybody could write to, or that cannot be listened on
 */
export async function serveDatastore(store: ServedStore, options: ServeOptions): Promise<DatastoreServer> {
  const { address, tls, isOpen = false } = options;
  const refuse = (why: string, cause?: unknown) =>
    new FabricError('invalid-config', `serve datastore at ${JSON.stringify(address)}: ${why}`, { cause });
  if (tls === undefined && !isOpen && !isOwnAddress(address)) {
    throw refuse('other machines reach this address: it needs certificates on both sides');
  }
  const stop = new AbortController();
  const server = new Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
  server.addService(KVService, kvServer(store));
  server.addService(LeaseService, leaseServer(store));
  server.addService(WatchService, watchServer(store, stop.signal));
  const path = unixPath(address);
  // What a killed agent left.
  if (path !== undefined) rmSync(path, { force: true });
  const port = await bind(server, address, tls).catch((error: Error) => {
    throw refuse(error.message, error);
  });
  if (path !== undefined) chmodSync(path, 0o600);
  return {
    endpoint: endpointOf(address, port, tls !== undefined),
    async [Symbol.asyncDispose]() {
      stop.abort();
      server.forceShutdown();
      if (path !== undefined) rmSync(path, { force: true });
    },
  };
}

function unixPath(address: string): string | undefined {
  return address.startsWith('unix:') ? address.slice('unix:'.length) : undefined;
}

/** True when only this machine reaches the address. */
function isOwnAddress(address: string): boolean {
  if (unixPath(address) !== undefined) return true;
  const host = address.slice(0, address.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1');
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

function endpointOf(address: string, port: number, isTls: boolean): string {
  if (unixPath(address) !== undefined) return address;
  return `${isTls ? 'https' : 'http'}://${address.slice(0, address.lastIndexOf(':'))}:${port}`;
}

function bind(server: Server, address: string, tls: ServeOptions['tls']): Promise<number> {
  const pair = tls && { private_key: tls.key, cert_chain: tls.cert };
  const credentials =
    pair === undefined
      ? ServerCredentials.createInsecure()
      : ServerCredentials.createSsl(tls!.ca, [pair], true);
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, port) => (error === null ? resolve(port) : reject(error)));
  });
}

/** A method that answers a message with a message. */
function unary<Q, R>(handler: (request: Q) => Promise<R>): handleUnaryCall<Q, R> {
  return (call, answer) => {
    handler(call.request).then(
      (response) => answer(null, response),
      (error: unknown) => answer(statusError(error)),
    );
  };
}

function kvServer(store: ServedStore): KVServer {
  return {
    range: unary((request) => range(store, request)),
    txn: unary((request) => txn(store, request)),
  };
}

function leaseServer(store: ServedStore): LeaseServer {
  const keepAlive: handleBidiStreamingCall<LeaseKeepAliveRequest, LeaseKeepAliveResponse> = (stream) => {
    stream.on('data', (request: LeaseKeepAliveRequest) => {
      try {
        stream.write(leaseKeepAlive(store, request));
      } catch (error) {
        fail(stream, error);
      }
    });
    stream.on('end', () => stream.end());
  };
  return {
    leaseGrant: unary((request) => leaseGrant(store, request)),
    leaseRevoke: unary((request) => leaseRevoke(store, request)),
    leaseKeepAlive: keepAlive,
  };
}

function watchServer(store: ServedStore, signal: AbortSignal): WatchServer {
  return {
    watch: (stream) => {
      watch(store, stream, signal).then(
        () => stream.end(),
        (error: unknown) => fail(stream, error),
      );
    },
  };
}

/** Ends a stream with a status; one whose client has gone cannot be told. */
function fail<Q, R>(stream: ServerDuplexStream<Q, R>, error: unknown): void {
  if (!stream.cancelled) stream.emit('error', statusError(error));
}
