import { FabricError } from '../errors.ts';
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  KVService,
  LeaseService,
  type RequestOp,
  type TxnResponse,
} from '../gen/etcd.ts';
import type {
  CallOptions,
  Datastore,
  DeleteOptions,
  Entry,
  PutOptions,
  WatchEvent,
  WatchOptions,
} from './datastore.ts';
import { EtcdClient, type EtcdClientOptions } from './etcd-client.ts';
import { type EtcdSnapshot, entryOf, listPrefix } from './etcd-range.ts';
import { watchPrefix } from './etcd-watch.ts';

/**
 * A datastore in an etcd cluster, version 3.4 or later. No byte is sent before the first call.
 * @throws FabricError `invalid-config` for an endpoint that is no address
 */
export function openEtcdDatastore(options: EtcdClientOptions): Datastore {
  return new EtcdDatastore(new EtcdClient(options));
}

class EtcdDatastore implements Datastore {
  readonly #client: EtcdClient;
  readonly #closed = new AbortController();

  constructor(client: EtcdClient) {
    this.#client = client;
  }

  async get(key: string, { signal }: CallOptions = {}): Promise<Entry | undefined> {
    const { kvs } = await this.#client.call({
      what: `get ${JSON.stringify(key)}`,
      method: KVService.range,
      request: { key: Buffer.from(key), rangeEnd: Buffer.alloc(0) },
      isRepeatable: true,
      signal,
    });
    return kvs[0] === undefined ? undefined : entryOf(kvs[0]);
  }

  list(prefix: string, { signal }: CallOptions = {}): Promise<EtcdSnapshot> {
    return listPrefix(this.#client, prefix, signal);
  }

  async put(key: string, value: string, options: PutOptions = {}): Promise<Entry> {
    const what = `put ${JSON.stringify(key)}`;
    const { expected, ttlSeconds, signal } = options;
    const leaseId = ttlSeconds === undefined ? 0n : await this.#grant(what, ttlSeconds, signal);
    try {
      const requestPut = { key: Buffer.from(key), value: Buffer.from(value), lease: leaseId };
      const { header } = await this.#change(what, { key, requests: [{ requestPut }], expected, signal });
      const revision = header?.revision ?? 0n;
      return { key, value, revision, ...(leaseId !== 0n && { leaseId }) };
    } catch (error) {
      // When nobody knows whether the entry was written, the lease ends both.
      if (leaseId !== 0n) await this.#revoke(leaseId);
      throw error;
    }
  }

  async delete(key: string, { expected, signal }: DeleteOptions = {}): Promise<boolean> {
    const what = `delete ${JSON.stringify(key)}`;
    const requests = [{ requestDeleteRange: { key: Buffer.from(key) } }];
    const { responses } = await this.#change(what, { key, requests, expected, signal });
    return (responses[0]?.responseDeleteRange?.deleted ?? 0n) > 0n;
  }

  async renew({ key, leaseId }: Entry, { signal }: CallOptions = {}): Promise<boolean> {
    if (leaseId === undefined) return true;
    const { TTL } = await this.#client.call({
      what: `renew ${JSON.stringify(key)}`,
      method: LeaseService.leaseKeepAlive,
      request: { ID: leaseId },
      isRepeatable: true,
      signal,
    });
    return TTL > 0n;
  }

  watch(prefix: string, { signal, ...options }: WatchOptions = {}): AsyncIterable<WatchEvent> {
    const ends = AbortSignal.any([this.#closed.signal, ...(signal === undefined ? [] : [signal])]);
    return watchPrefix(this.#client, prefix, { ...options, signal: ends });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    this.#client[Symbol.dispose]();
  }

  async #change(
    what: string,
    change: {
      key: string;
      requests: RequestOp[];
      expected: bigint | undefined;
      signal: AbortSignal | undefined;
    },
  ): Promise<TxnResponse> {
    const { key, requests, expected, signal } = change;
    const compare = {
      result: Compare_CompareResult.EQUAL,
      target: Compare_CompareTarget.MOD,
      key: Buffer.from(key),
      modRevision: expected,
    };
    const answer = await this.#client.call({
      what,
      method: KVService.txn,
      request: { compare: expected === undefined ? [] : [compare], success: requests },
      isRepeatable: false,
      signal,
    });
    if (!answer.succeeded) {
      throw new FabricError('conflict', `${what}: revision is not ${expected}`);
    }
    return answer;
  }

  async #grant(what: string, ttlSeconds: number, signal: AbortSignal | undefined): Promise<bigint> {
    // A lease that nobody uses harms nobody: this may be asked twice.
    const { ID, error } = await this.#client.call({
      what: `${what}: grant lease`,
      method: LeaseService.leaseGrant,
      request: { TTL: BigInt(ttlSeconds), ID: 0n },
      isRepeatable: true,
      signal,
    });
    if (error !== '') throw new FabricError('datastore-error', `${what}: grant lease: ${error}`);
    return ID;
  }

  /** Tries to; a lease that stays ends by itself. */
  async #revoke(leaseId: bigint): Promise<void> {
    const call = { what: 'revoke lease', method: LeaseService.leaseRevoke, request: { ID: leaseId } };
    await this.#client.call({ ...call, isRepeatable: false }).catch(() => {});
  }
}
