import type { CallOptions } from '../datastore/datastore.ts';
import type { Lease, LeaseAttributes } from './lease.ts';
import type { NetworkConfig } from './network-config.ts';

/** A node's own lease. */
export interface OwnLease {
  /** What tells it apart from the others in its store. */
  readonly id: string;
  readonly lease: Lease;
  /** It runs out when nobody renews it. */
  readonly expires: boolean;
}

export interface AcquireOptions extends CallOptions {
  attributes: LeaseAttributes;
  /** The subnets of the last time, which the node gets again if they are free. */
  previous?: Pick<Lease, 'subnet' | 'ipv6Subnet'>;
}

/** All leases as they are at one moment. */
export interface LeasesSnapshot {
  /** By what tells them apart. */
  readonly leases: ReadonlyMap<string, Lease>;
  /** The store's word for that moment: a watch from there misses nothing. */
  readonly revision: string;
}

/** One change of one lease. */
export type LeaseChange =
  | { readonly type: 'put'; readonly id: string; readonly lease: Lease }
  | { readonly type: 'delete'; readonly id: string };

/** What a watch tells. */
export type LeasesEvent =
  /** All leases, in the place of all that was told before. */
  | ({ readonly type: 'snapshot' } & LeasesSnapshot)
  /** What changed since the last event, in order. */
  | { readonly type: 'changes'; readonly changes: readonly LeaseChange[] };

export interface WatchLeasesOptions extends CallOptions {
  /** Where {@link LeaseStore.list} ended; without it the watch begins with a snapshot. */
  fromRevision?: string;
  /** Told when the store stops answering, with the error, and when it answers again, with undefined. */
  onConnection?: (error: unknown) => void;
}

/**
 * Where the nodes of an overlay keep who has which subnet and is reached how.
 *
 * Errors of all calls: FabricError `unavailable` when the store does not answer or is not ready for this node, `datastore-error` for
 * a refusal.
 */
export interface LeaseStore {
  /**
   * Gets this node its subnets, and tells the others how to reach it.
   * @throws FabricError `no-free-subnet`, `conflict`, `invalid-config`
   */
  acquire(config: NetworkConfig, options: AcquireOptions): Promise<OwnLease>;
  /**
   * Makes sure that the lease goes on and says what it ought to.
   * @returns undefined when the subnets are not this node's any more
   */
  renew(own: OwnLease, options?: CallOptions): Promise<OwnLease | undefined>;
  /** Gives the subnets back where they are the node's to give. */
  release(own: OwnLease, options?: CallOptions): Promise<void>;
  /** Tells whoever waits for it that this node's pods have a network. */
  announceReady(options?: CallOptions): Promise<void>;
  list(options?: CallOptions): Promise<LeasesSnapshot>;
  /**
   * Tells of all changes until `signal` aborts (then it just ends) or the loop ends. It goes on over lost connections and restarts of the
   * store, and begins anew with a snapshot where the changes in between cannot be had any more.
   */
  watch(options?: WatchLeasesOptions): AsyncIterable<LeasesEvent>;
}
