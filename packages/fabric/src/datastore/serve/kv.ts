import { isCode } from '@amphipod/linux';
import { status } from '@grpc/grpc-js';
import {
  type Compare,
  Compare_CompareResult,
  Compare_CompareTarget,
  type KeyValue,
  type RangeRequest,
  type RangeResponse,
  type RequestOp,
  type ResponseHeader,
  type ResponseOp,
  type TxnRequest,
  type TxnResponse,
} from '../../gen/etcd.ts';
import type { Entry } from '../datastore.ts';
import type { ServedStore } from './served-store.ts';
import { RefusedCall } from './status-error.ts';

/** What every answer begins with. */
export function headerOf(store: ServedStore): ResponseHeader {
  return { clusterId: store.id, revision: store.revision() };
}

export function keyValueOf({ key, value, revision, leaseId = 0n }: Entry): KeyValue {
  return { key: Buffer.from(key), value: Buffer.from(value), modRevision: revision, lease: leaseId };
}

/** `KV.Range`: one key, or all keys of a prefix. */
export async function range(
  store: ServedStore,
  { key, rangeEnd }: Pick<RangeRequest, 'key' | 'rangeEnd'>,
): Promise<RangeResponse> {
  if (rangeEnd.length === 0) {
    const entry = await store.get(key.toString());
    return { header: headerOf(store), kvs: entry === undefined ? [] : [keyValueOf(entry)] };
  }
  const { entries, revision } = await store.list(prefixOf(key, rangeEnd));
  return { header: { clusterId: store.id, revision }, kvs: entries.map(keyValueOf) };
}

/** The prefix that a range stands for. @throws RefusedCall for ranges that are not those of a prefix */
export function prefixOf(key: Buffer, rangeEnd: Buffer): string {
  const end = Buffer.from(key);
  if (end.length > 0) end[end.length - 1]! += 1;
  if (end.length === 0 || !end.equals(rangeEnd))
    throw new RefusedCall(status.UNIMPLEMENTED, 'read range: only ranges of one prefix are served');
  return key.toString();
}

/** `KV.Txn` with one change, and the revision that its key must have. */
export async function txn(store: ServedStore, { compare, success }: TxnRequest): Promise<TxnResponse> {
  const [request] = success;
  if (request === undefined || success.length > 1)
    throw new RefusedCall(status.UNIMPLEMENTED, `change ${success.length} keys: only one is served`);
  const key = (request.requestPut ?? request.requestDeleteRange)?.key;
  if (key === undefined)
    throw new RefusedCall(status.UNIMPLEMENTED, 'make transaction: only put and delete are served');
  const expected = expectedRevision(compare, key);
  try {
    const response = await change(store, request, expected);
    return { header: headerOf(store), succeeded: true, responses: [response] };
  } catch (error) {
    if (!isCode(error, 'conflict')) throw error;
    return { header: headerOf(store), succeeded: false, responses: [] };
  }
}

function expectedRevision(compare: readonly Compare[], changed: Buffer): bigint | undefined {
  const [only] = compare;
  if (only === undefined) return undefined;
  const { result, target, key, modRevision } = only;
  const isServed =
    compare.length === 1 &&
    result === Compare_CompareResult.EQUAL &&
    target === Compare_CompareTarget.MOD &&
    key.equals(changed);
  if (!isServed || modRevision === undefined) {
    const what = 'compare: only the equal revision of the changed key is served';
    throw new RefusedCall(status.UNIMPLEMENTED, what);
  }
  return modRevision;
}

async function change(
  store: ServedStore,
  { requestPut, requestDeleteRange }: RequestOp,
  expected: bigint | undefined,
): Promise<ResponseOp> {
  const options = expected === undefined ? {} : { expected };
  if (requestPut !== undefined) {
    const { key, value, lease } = requestPut;
    const [name, text] = [key.toString(), value.toString()];
    if (lease === 0n) await store.put(name, text, options);
    else await putLeased(store, requestPut, options);
    return { responsePut: { header: headerOf(store) } };
  }
  const isDeleted = await store.delete(requestDeleteRange!.key.toString(), options);
  return { responseDeleteRange: { header: headerOf(store), deleted: isDeleted ? 1n : 0n } };
}

async function putLeased(
  store: ServedStore,
  { key, value, lease }: NonNullable<RequestOp['requestPut']>,
  options: { expected?: bigint },
): Promise<void> {
  try {
    await store.putLeased(key.toString(), value.toString(), { ...options, leaseId: lease });
  } catch (error) {
    if (!isCode(error, 'datastore-error')) throw error;
    throw new RefusedCall(status.NOT_FOUND, (error as Error).message);
  }
}
