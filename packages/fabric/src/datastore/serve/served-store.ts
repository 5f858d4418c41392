import type { Datastore, Entry, PutOptions } from '../datastore.ts';

/** A datastore that others can be served with over etcd's API, where a lease is there before the entry that lives by it. */
export interface ServedStore extends Datastore {
  /** Tells this store from every other; not 0. */
  readonly id: bigint;
  /** Of the newest change. */
  revision(): bigint;
  /** Makes a lease that no entry lives by yet. */
  grant(ttlSeconds: number): bigint;
  /** Has the lease run from now on. @returns its time to live in seconds; undefined when there is no such lease */
  keepAlive(leaseId: bigint): number | undefined;
  /** Ends the lease, and the entries that live by it. False when there is no such lease. */
  revoke(leaseId: bigint): boolean;
  /** As {@link Datastore.put}, by a lease that is there. @throws FabricError `conflict`, `datastore-error` when there is no such lease */
  putLeased(key: string, value: string, options: LeasedPutOptions): Promise<Entry>;
}

export interface LeasedPutOptions extends Omit<PutOptions, 'ttlSeconds'> {
  leaseId: bigint;
}
