import { isCode } from '@amphipod/linux';
import type { CallOptions, Change, Snapshot, WatchEvent } from '../datastore/datastore.ts';
import { acquireLease, type LeaseKeys, leasesPrefix, renewLease } from './acquire-lease.ts';
import { isSameNode, type Lease, parseLease } from './lease.ts';
import type { LeaseChange, LeaseStore, LeasesEvent, LeasesSnapshot, OwnLease } from './lease-store.ts';

/** Leases in a datastore, under flannel's keys. They live for a day when nobody renews them. */
export function openDatastoreLeases(keys: LeaseKeys): LeaseStore {
  const { store } = keys;
  const prefix = leasesPrefix(keys.prefix);
  return {
    acquire: (config, options) => acquireLease(keys, config, options),
    renew: (own, options) => renewLease(keys, own, options),
    release: (own, options) => releaseLease(keys, own, options),
    // Nobody waits for it.
    announceReady: async () => {},
    async list(options) {
      return snapshotOf(await store.list(prefix, options));
    },
    async *watch({ fromRevision, signal, onConnection } = {}) {
      const options = {
        ...(signal && { signal }),
        ...(onConnection && { onConnection }),
        ...(fromRevision !== undefined && { fromRevision: BigInt(fromRevision) + 1n }),
      };
      for await (const event of store.watch(prefix, options)) yield leasesEventOf(event);
    },
  };
}

/** Deletes the entry of a lease, unless it is a reservation or another node's by now. */
async function releaseLease(
  { store }: LeaseKeys,
  { id, lease }: OwnLease,
  options: CallOptions = {},
): Promise<void> {
  const entry = await store.get(id, options);
  const found = entry && parseLease(id, entry.value);
  if (entry?.leaseId === undefined || found === undefined) return;
  if (!isSameNode(found.attributes, lease.attributes)) return;
  try {
    await store.delete(id, { ...options, expected: entry.revision });
  } catch (error) {
    if (!isCode(error, 'conflict')) throw error;
  }
}

function leasesEventOf(event: WatchEvent): LeasesEvent {
  if (event.type === 'snapshot') return { type: 'snapshot', ...snapshotOf(event) };
  return { type: 'changes', changes: event.changes.map(leaseChangeOf) };
}

function snapshotOf({ entries, revision }: Snapshot): LeasesSnapshot {
  const leases = entries.flatMap(({ key, value }): [string, Lease][] => {
    const lease = parseLease(key, value);
    return lease === undefined ? [] : [[key, lease]];
  });
  return { leases: new Map(leases), revision: `${revision}` };
}

/** An entry that is no lease takes the place of one that was. */
function leaseChangeOf(change: Change): LeaseChange {
  if (change.type === 'delete') return { type: 'delete', id: change.key };
  const { key: id, value } = change.entry;
  const lease = parseLease(id, value);
  return lease === undefined ? { type: 'delete', id } : { type: 'put', id, lease };
}
