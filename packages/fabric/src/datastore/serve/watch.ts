import { once } from 'node:events';
import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import {
  Event_EventType,
  type WatchCreateRequest,
  type WatchRequest,
  type WatchResponse,
} from '../../gen/etcd.ts';
import type { Change, WatchEvent } from '../datastore.ts';
import { headerOf, keyValueOf, prefixOf } from './kv.ts';
import type { ServedStore } from './served-store.ts';
import { RefusedCall } from './status-error.ts';

/** As often as etcd says where it stands when nothing happens, so that a watch never falls behind the history. */
const PROGRESS_MS = 10 * 60_000;

type WatchStream = ServerDuplexStream<WatchRequest, WatchResponse>;

/** `Watch.Watch` with one watch, of one prefix, on a stream. Ends when the client goes or `signal` aborts. */
export async function watch(store: ServedStore, stream: WatchStream, signal: AbortSignal): Promise<void> {
  const gone = new AbortController();
  stream.once('cancelled', () => gone.abort());
  const ends = AbortSignal.any([signal, gone.signal]);
  const [{ createRequest }] = (await once(stream, 'data', { signal: ends })) as [WatchRequest];
  if (createRequest === undefined)
    throw new RefusedCall(status.INVALID_ARGUMENT, 'watch: the first message creates no watch');
  const answer = answers(stream, ends);
  const progress = setInterval(() => void answer({ header: headerOf(store) }), PROGRESS_MS).unref();
  try {
    await tell(store, createRequest, { answer, signal: ends });
  } finally {
    clearInterval(progress);
  }
}

type Answer = (part: Partial<WatchResponse>) => Promise<void>;

/** Waits where the client reads slower than the store changes. */
function answers(stream: WatchStream, signal: AbortSignal): Answer {
  return async (part) => {
    const empty = { created: false, canceled: false, compactRevision: 0n, cancelReason: '', events: [] };
    if (!stream.write({ header: undefined, ...empty, ...part })) await once(stream, 'drain', { signal });
  };
}

async function tell(
  store: ServedStore,
  { key, rangeEnd, startRevision }: WatchCreateRequest,
  { answer, signal }: { answer: Answer; signal: AbortSignal },
): Promise<void> {
  const prefix = prefixOf(key, rangeEnd);
  const header = headerOf(store);
  await answer({ header, created: true });
  // A client of another store finds that out by the header.
  const next = header.revision + 1n;
  const fromRevision = startRevision === 0n || startRevision > next ? next : startRevision;
  for await (const event of store.watch(prefix, { fromRevision, signal })) {
    await answer({ header: { clusterId: store.id, revision: event.revision }, ...told(event) });
    if (event.type === 'snapshot') return;
  }
}

/** A snapshot says that the changes since then are forgotten. */
function told(event: WatchEvent): Partial<WatchResponse> {
  if (event.type === 'changes') return { events: event.changes.map(eventOf) };
  const cancelReason = 'the history from the start revision on is gone';
  return { canceled: true, compactRevision: event.revision, cancelReason };
}

function eventOf(change: Change): WatchResponse['events'][number] {
  if (change.type === 'put') return { type: Event_EventType.PUT, kv: keyValueOf(change.entry) };
  const { key, revision } = change;
  return { type: Event_EventType.DELETE, kv: keyValueOf({ key, value: '', revision }) };
}
