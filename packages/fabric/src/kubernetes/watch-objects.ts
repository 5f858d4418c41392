import { setTimeout as delay } from 'node:timers/promises';
import { FabricError } from '../errors.ts';
import { KubernetesApiError, type KubernetesStatus } from './api-error.ts';
import type { KubernetesWatchLine } from './client.ts';
import {
  type Collection,
  currentRevision,
  type KubernetesObject,
  listObjects,
  type ObjectsSnapshot,
} from './list-objects.ts';

const FIRST_DELAY_MS = 100;
const LAST_DELAY_MS = 10_000;
/** The server ends a watch after so long, each at another time. */
const WATCH_SECONDS = 300;
/** Given up when the server has not ended it by then: something on the way swallows what it says. */
const GRACE_SECONDS = 30;

/** One change of one object. */
export type ObjectChange<T> =
  | { readonly type: 'put'; readonly name: string; readonly object: T }
  | { readonly type: 'delete'; readonly name: string };

/** What a watch tells. */
export type ObjectsEvent<T> =
  /** Everything that is there, in the place of all that was told before. */
  ({ readonly type: 'snapshot' } & ObjectsSnapshot<T>) | ({ readonly revision: string } & ObjectChange<T>);

export interface WatchObjectsOptions {
  /** Where a list or a watch ended; without it the watch begins with a snapshot. */
  fromRevision?: string | undefined;
  signal: AbortSignal;
  /** Told of the failure when the watch is cut off or refused, and of undefined when it stands again. */
  onConnection?: ((error: unknown) => void) | undefined;
}

/**
 * Tells of all changes until `signal` aborts. It goes on over lost connections, restarts and refusals of the server, with pauses that
 * grow to 10 s, and begins anew with a snapshot where the changes in between cannot be had any more (410 Gone), or the server's data was
 * put back from a copy. Of a time that it has not come to again a server says nothing at all: we ask when it comes back.
 */
export async function* watchObjects<O extends KubernetesObject, T>(
  collection: Collection<O, T>,
  { fromRevision, signal, onConnection }: WatchObjectsOptions,
): AsyncGenerator<ObjectsEvent<T>, void> {
  let position = fromRevision;
  let delayMs = FIRST_DELAY_MS;
  let isInDoubt = false;
  let isCut = false;
  const tell = (error: unknown) => {
    if (isCut !== (error !== undefined)) onConnection?.(error);
    isCut = error !== undefined;
  };
  while (!signal.aborted) {
    let waitMs = delayMs;
    try {
      if (isInDoubt && position !== undefined) {
        if (isBefore(await currentRevision(collection, signal), position)) position = undefined;
        isInDoubt = false;
      }
      if (position === undefined) {
        const snapshot = await listObjects(collection, { signal });
        position = snapshot.revision;
        yield { type: 'snapshot', ...snapshot };
      }
      for await (const line of watchOnce(collection, { position, signal, onOpen: () => tell(undefined) })) {
        delayMs = FIRST_DELAY_MS;
        waitMs = delayMs;
        position = revisionOf(line) ?? position;
        const change = changeOf(collection, line);
        if (change !== undefined) yield { ...change, revision: position };
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof KubernetesApiError && error.isPositionLost) position = undefined;
      else {
        isInDoubt = true;
        tell(error);
        waitMs = Math.max(delayMs, error instanceof KubernetesApiError ? error.retryAfterMs : 0);
      }
    }
    // At random: after a restart of the server all nodes come at once.
    await delay(waitMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {});
    delayMs = Math.min(2 * delayMs, LAST_DELAY_MS);
  }
}

/** Revisions of one server are whole numbers that grow. Of others nothing can be said. */
function isBefore(a: string, b: string): boolean {
  return /^\d+$/.test(a) && /^\d+$/.test(b) && BigInt(a) < BigInt(b);
}

/** The lines of one watch; ends when the server ends it. @throws KubernetesApiError also for what the server says in a line */
async function* watchOnce<O extends KubernetesObject, T>(
  { client, path }: Collection<O, T>,
  { position, signal, onOpen }: { position: string; signal: AbortSignal; onOpen: () => void },
): AsyncGenerator<KubernetesWatchLine, void> {
  const what = `watch ${JSON.stringify(path)}`;
  const seconds = Math.round(WATCH_SECONDS * (1 + Math.random()));
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(), 1000 * (seconds + GRACE_SECONDS));
  try {
    const lines = await client.watch({
      what,
      path,
      query: { watch: true, resourceVersion: position, allowWatchBookmarks: true, timeoutSeconds: seconds },
      signal: AbortSignal.any([signal, silence.signal]),
    });
    onOpen();
    for await (const line of lines) {
      if (line.type === 'ERROR') {
        const status = line.object as KubernetesStatus;
        throw new KubernetesApiError(what, { ...status, code: status.code ?? 500 });
      }
      yield line;
    }
  } catch (error) {
    if (!silence.signal.aborted || signal.aborted) throw error;
    throw new FabricError('unavailable', `${what}: the server did not end it in time`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

function revisionOf({ object }: KubernetesWatchLine): string | undefined {
  return (object as KubernetesObject).metadata.resourceVersion;
}

function changeOf<O extends KubernetesObject, T>(
  { read }: Collection<O, T>,
  { type, object }: KubernetesWatchLine,
): ObjectChange<T> | undefined {
  if (type === 'BOOKMARK') return undefined;
  const { name } = (object as O).metadata;
  return type === 'DELETED' ? { type: 'delete', name } : { type: 'put', name, object: read(object as O) };
}
