import type { IpAddress } from '@amphipod/netlink';
import type { Datastore } from '../datastore/datastore.ts';
import { addressesOf } from './addresses-of.ts';
import { type AllocateRequest, allocate, type LastBlocks } from './allocate.ts';
import { assertFree } from './assert-free.ts';
import { type AssignRequest, assign } from './assign.ts';
import { releaseHandle, releaseIps } from './release.ts';

export interface IpamOptions {
  store: Datastore;
  /** Name of the node that addresses are for. */
  node: string;
  /** Milliseconds since 1970. */
  now?: () => number;
}

interface Signalled {
  /** Gives up; the promise is rejected with the signal's reason. What was taken by then is counted by its handle. */
  signal?: AbortSignal | undefined;
}

/**
 * Gives out addresses of Calico's pools for one node, in Calico's blocks: many nodes, and processes of one node, may do so at once.
 * Errors: FabricError `no-pool`, `no-free-address`, `address-taken`, those of the datastore.
 */
export interface Ipam {
  /** Takes free addresses: all that are wanted, or none. */
  allocate(request: AllocateRequest & Signalled): Promise<IpAddress[]>;
  /** Takes just these addresses, all or none. */
  assign(request: AssignRequest & Signalled): Promise<void>;
  /** Fails as {@link allocate} would, and takes nothing. */
  assertFree(request: Omit<AllocateRequest, 'owner'> & Signalled): Promise<void>;
  /** The addresses that a handle holds. */
  addressesOf(handleId: string, options?: Signalled): Promise<IpAddress[]>;
  /** Gives back all that a handle holds, and tells what that was; nothing the second time. */
  releaseHandle(handleId: string, options?: Signalled): Promise<IpAddress[]>;
  /** Gives back those of these addresses that the handle holds. */
  releaseIps(ips: readonly IpAddress[], options: { handleId: string } & Signalled): Promise<IpAddress[]>;
}

/** The allocator of one node. It remembers which block it took the last address of, and nothing that it relies on. */
export function createIpam({ store, node, now = Date.now }: IpamOptions): Ipam {
  const lastBlocks: LastBlocks = new Map();
  const place = (signal?: AbortSignal) => ({ store, node, signal, nowMs: now() });
  // Calls of one process would only get into each other's way: they want the same block.
  let last: Promise<unknown> = Promise.resolve();
  const oneByOne = <T>(act: () => Promise<T>): Promise<T> => {
    const done = last.then(act, act);
    last = done;
    return done;
  };
  return {
    allocate: ({ signal, ...request }) => oneByOne(() => allocate(place(signal), request, lastBlocks)),
    assign: ({ signal, ...request }) => oneByOne(() => assign(place(signal), request)),
    assertFree: ({ signal, ...request }) => assertFree(place(signal), request),
    addressesOf: (handleId, { signal } = {}) => addressesOf(place(signal), handleId),
    releaseHandle: (handleId, { signal } = {}) => oneByOne(() => releaseHandle(place(signal), handleId)),
    releaseIps: (ips, { handleId, signal }) => oneByOne(() => releaseIps(place(signal), ips, { handleId })),
  };
}
