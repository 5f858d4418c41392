import { type KeyValue, KVService } from '../gen/etcd.ts';
import type { Entry, Snapshot } from './datastore.ts';
import type { EtcdClient } from './etcd-client.ts';

/** A list with what tells one etcd cluster from another. */
export interface EtcdSnapshot extends Snapshot {
  clusterId: bigint;
}

/** All keys of a prefix, as one answer has them. */
export async function listPrefix(
  client: EtcdClient,
  prefix: string,
  signal: AbortSignal | undefined,
): Promise<EtcdSnapshot> {
  const { header, kvs } = await client.call({
    what: `list ${JSON.stringify(prefix)}`,
    method: KVService.range,
    request: prefixRange(prefix),
    isRepeatable: true,
    signal,
  });
  return {
    entries: kvs.map(entryOf),
    revision: header?.revision ?? 0n,
    clusterId: header?.clusterId ?? 0n,
  };
}

/** The range of keys that begin with `prefix`, as etcd writes it. @throws RangeError for an empty prefix */
export function prefixRange(prefix: string): { key: Buffer; rangeEnd: Buffer } {
  const key = Buffer.from(prefix);
  if (key.length === 0) throw new RangeError('make key range: the prefix is empty');
  const rangeEnd = Buffer.from(key);
  // UTF-8 has no byte of 0xff, so that there is never a carry.
  rangeEnd[rangeEnd.length - 1]! += 1;
  return { key, rangeEnd };
}

/** A key of etcd as an entry of ours. */
export function entryOf({ key, value, modRevision, lease }: KeyValue): Entry {
  return {
    key: Buffer.from(key).toString(),
    value: Buffer.from(value).toString(),
    revision: modRevision,
    ...(lease !== 0n && { leaseId: lease }),
  };
}
