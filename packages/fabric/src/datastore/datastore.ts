/** A key with its value. */
export interface Entry {
  readonly key: string;
  readonly value: string;
  /** The store's revision at the key's last change; grows from change to change, never 0. */
  readonly revision: bigint;
  /** The lease that it lives by; absent when it stays until it is deleted. */
  readonly leaseId?: bigint;
}

/** Keys of one prefix as they are at one moment, in the order of their keys. */
export interface Snapshot {
  readonly entries: readonly Entry[];
  /** The store's revision at that moment: a watch from the next one on misses nothing. */
  readonly revision: bigint;
}

/** One change of one key. */
export type Change =
  | { readonly type: 'put'; readonly entry: Entry }
  | { readonly type: 'delete'; readonly key: string; readonly revision: bigint };

/** What a watch tells. */
export type WatchEvent =
  /** Everything that is there, in the place of all that was told before. */
  | ({ readonly type: 'snapshot' } & Snapshot)
  /** What changed since the last event, in order. */
  | { readonly type: 'changes'; readonly changes: readonly Change[]; readonly revision: bigint };

export interface CallOptions {
  /** Gives up; the promise is rejected with the signal's reason. */
  signal?: AbortSignal;
}

export interface PutOptions extends CallOptions {
  /** The revision that the key must have at this moment; 0 when it must not exist. Anything goes when not given. */
  expected?: bigint;
  /** The entry lives this long unless {@link Datastore.renew} is called, in whole seconds. Without it the entry stays. */
  ttlSeconds?: number;
}

export interface DeleteOptions extends CallOptions {
  /** As in {@link PutOptions}. */
  expected?: bigint;
}

export interface WatchOptions extends CallOptions {
  /** The first revision to tell of; without it the watch begins with a snapshot. */
  fromRevision?: bigint;
  /** Told when the store stops answering, with the error, and when it answers again, with undefined. */
  onConnection?: (error: unknown) => void;
}

/**
 * Keys and values that many nodes share. Every change has a revision of its own, all of them in one order.
 *
 * Errors of all calls: FabricError `unavailable` when the store does not answer (a change may have been made all the same: read
 * before trying again), `datastore-error` for an answer that cannot be used.
 */
export interface Datastore extends AsyncDisposable {
  /** The entry, or undefined when there is no such key. */
  get(key: string, options?: CallOptions): Promise<Entry | undefined>;
  /** All entries whose keys begin with `prefix`. */
  list(prefix: string, options?: CallOptions): Promise<Snapshot>;
  /** Writes one entry, with another lease than before if there was one. @throws FabricError `conflict` */
  put(key: string, value: string, options?: PutOptions): Promise<Entry>;
  /** False when there was no such key. @throws FabricError `conflict` when the key has another revision than expected */
  delete(key: string, options?: DeleteOptions): Promise<boolean>;
  /**
   * Starts the entry's time to live again. It is no change: nobody who watches hears of it.
   * @returns false when the lease has run out, and the entry with it
   */
  renew(entry: Entry, options?: CallOptions): Promise<boolean>;
  /**
   * Tells of all changes to keys that begin with `prefix` until `signal` aborts (then it just ends) or the loop ends. It goes
   * on over lost connections and restarts of the store; where the changes in between cannot be had any more, or the store
   * is not the one it was, it begins anew with a snapshot.
   */
  watch(prefix: string, options?: WatchOptions): AsyncIterable<WatchEvent>;
}
