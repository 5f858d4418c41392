import { setTimeout as delay } from 'node:timers/promises';
import { isCode } from '@amphipod/linux';
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { type Event, Event_EventType, type WatchResponse, WatchService } from '../gen/etcd.ts';
import type { Change, WatchEvent, WatchOptions } from './datastore.ts';
import { type EtcdClient, etcdError } from './etcd-client.ts';
import { entryOf, listPrefix, prefixRange } from './etcd-range.ts';

const FIRST_DELAY_MS = 50;
const LAST_DELAY_MS = 2_000;
/** What no further try would change. */
const finalCodes: readonly number[] = [
  status.INVALID_ARGUMENT,
  status.PERMISSION_DENIED,
  status.UNAUTHENTICATED,
  status.UNIMPLEMENTED,
];

/** Where a watch stands. */
interface Position {
  /** The next revision to hear of. */
  next: bigint;
  /** The cluster that the revision is of; not known before the first answer. */
  clusterId?: bigint;
}

/** What comes of one answer: an event to tell, or that the position is no good. */
type Outcome = { event?: WatchEvent; isLost?: boolean };

/** {@link Datastore.watch} for etcd. @throws FabricError `datastore-error` for a refusal that no further try would change */
export async function* watchPrefix(
  client: EtcdClient,
  prefix: string,
  { fromRevision, signal, onConnection }: WatchOptions & { signal: AbortSignal },
): AsyncGenerator<WatchEvent, void> {
  let position: Position | undefined = fromRevision === undefined ? undefined : { next: fromRevision };
  let delayMs = FIRST_DELAY_MS;
  let isCut = false;
  const tellConnection = (error?: unknown) => {
    if (isCut !== (error !== undefined)) onConnection?.(error);
    isCut = error !== undefined;
  };
  while (!signal.aborted) {
    try {
      if (position === undefined) {
        const { clusterId, ...snapshot } = await listPrefix(client, prefix, signal);
        position = { next: snapshot.revision + 1n, clusterId };
        yield { type: 'snapshot', ...snapshot };
      }
      for await (const response of responses(client, prefix, { from: position.next, signal })) {
        delayMs = FIRST_DELAY_MS;
        tellConnection();
        const { event, isLost }: Outcome = follow(position, response);
        if (event !== undefined) yield event;
        if (isLost) {
          position = undefined;
          break;
        }
      }
      if (position === undefined) continue;
    } catch (error) {
      if (signal.aborted) return;
      if (!isWorthATry(error)) throw watchError(client, prefix, error);
      tellConnection(watchError(client, prefix, error));
    }
    await delay(delayMs, undefined, { signal }).catch(() => {});
    delayMs = Math.min(2 * delayMs, LAST_DELAY_MS);
  }
}

/** Moves the position on, and says what there is to tell. */
function follow(position: Position, response: WatchResponse): Outcome {
  const { header, created, canceled, compactRevision, events } = response;
  if (compactRevision > 0n) return { isLost: true };
  if (canceled || header === undefined) return {};
  if (created) {
    const isOther = position.clusterId !== undefined && position.clusterId !== header.clusterId;
    position.clusterId = header.clusterId;
    // A store that is younger than what we know of it was put back from a copy.
    return isOther || header.revision + 1n < position.next ? { isLost: true } : {};
  }
  const last = events.at(-1)?.kv?.modRevision;
  if (last === undefined) {
    position.next = header.revision + 1n;
    return {};
  }
  position.next = last + 1n;
  return { event: { type: 'changes', changes: events.flatMap(changeOf), revision: last } };
}

function changeOf({ type, kv }: Event): Change[] {
  if (kv === undefined) return [];
  const entry = entryOf(kv);
  if (type === Event_EventType.PUT) return [{ type: 'put', entry }];
  return [{ type: 'delete', key: entry.key, revision: entry.revision }];
}

/** The answers of one watch over one stream; ends when the server ends it. */
async function* responses(
  client: EtcdClient,
  prefix: string,
  { from, signal }: { from: bigint; signal: AbortSignal },
): AsyncGenerator<WatchResponse, void> {
  // The caller may have gone while it was told of a snapshot.
  if (signal.aborted) return;
  const metadata = new Metadata();
  // A member that is cut off from the others ends the watch instead of saying nothing.
  metadata.set('hasleader', 'true');
  const { stream, leave } = client.openStream(WatchService.watch, metadata);
  // The call that is cancelled below tells of it after nobody listens any more.
  stream.on('error', () => {});
  const cancel = () => stream.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    stream.write({
      createRequest: { ...prefixRange(prefix), startRevision: from, progressNotify: true },
    });
    for await (const response of stream as AsyncIterable<WatchResponse>) {
      yield response;
      if (response.canceled) {
        if (response.compactRevision === 0n) leave();
        return;
      }
    }
  } catch (error) {
    leave();
    throw error;
  } finally {
    signal.removeEventListener('abort', cancel);
    stream.cancel();
  }
}

function isWorthATry(error: unknown): boolean {
  if (isCode(error, 'unavailable')) return true;
  const code = (error as ServiceError).code as unknown;
  return typeof code === 'number' && !finalCodes.includes(code);
}

function watchError(client: EtcdClient, prefix: string, error: unknown): unknown {
  const isGrpc = typeof (error as ServiceError).code === 'number';
  return isGrpc
    ? etcdError(`watch ${JSON.stringify(prefix)}`, error as ServiceError, client.endpoints)
    : error;
}
