import { status } from '@grpc/grpc-js';
import type {
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  LeaseRevokeRequest,
  LeaseRevokeResponse,
} from '../../gen/etcd.ts';
import { headerOf } from './kv.ts';
import type { ServedStore } from './served-store.ts';
import { RefusedCall } from './status-error.ts';

/** `Lease.LeaseGrant`; the number is always the store's choice. */
export async function leaseGrant(
  store: ServedStore,
  { TTL, ID }: LeaseGrantRequest,
): Promise<LeaseGrantResponse> {
  if (ID !== 0n) throw new RefusedCall(status.UNIMPLEMENTED, `grant lease ${ID}: numbers cannot be chosen`);
  if (TTL <= 0n)
    throw new RefusedCall(status.INVALID_ARGUMENT, `grant lease: ${TTL} seconds are no time to live`);
  return { ID: store.grant(Number(TTL)), header: headerOf(store), TTL, error: '' };
}

/** `Lease.LeaseRevoke` */
export async function leaseRevoke(
  store: ServedStore,
  { ID }: LeaseRevokeRequest,
): Promise<LeaseRevokeResponse> {
  if (!store.revoke(ID)) throw new RefusedCall(status.NOT_FOUND, `revoke lease ${ID}: there is none`);
  return { header: headerOf(store) };
}

/** One message of `Lease.LeaseKeepAlive`. */
export function leaseKeepAlive(store: ServedStore, { ID }: LeaseKeepAliveRequest): LeaseKeepAliveResponse {
  return { header: headerOf(store), ID, TTL: BigInt(store.keepAlive(ID) ?? 0) };
}
