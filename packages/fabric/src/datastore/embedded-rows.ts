import type { Change, Entry } from './datastore.ts';

/** A row of the table `entries`. */
export interface EntryRow {
  key: string;
  value: string;
  revision: bigint;
  lease_id: bigint | null;
}

/** A row of the table `history`. */
export interface HistoryRow extends Omit<EntryRow, 'value'> {
  value: string | null;
}

export function entryOf(row: EntryRow): Entry {
  const { key, value, revision, lease_id: leaseId } = row;
  return { key, value, revision, ...(leaseId !== null && { leaseId }) };
}

export function changeOf({ value, ...row }: HistoryRow): Change {
  return value === null
    ? { type: 'delete', key: row.key, revision: row.revision }
    : { type: 'put', entry: entryOf({ ...row, value }) };
}
