// Stores for tests of the allocator: one that counts round trips, one that fails.
import type { Datastore, Entry } from '../datastore/datastore.ts';
import { FabricError } from '../errors.ts';
import { apiVersion } from '../resources/metadata.ts';
import { createResource } from '../resources/resource-store.ts';

/** Writes a pool. @param spec more than the network */
export async function addPool(
  store: Datastore,
  name: string,
  cidr: string,
  spec: object = {},
): Promise<void> {
  await createResource(store, { kind: 'IPPool', apiVersion, metadata: { name }, spec: { cidr, ...spec } });
}

export async function addNode(
  store: Datastore,
  name: string,
  labels: Record<string, string> = {},
): Promise<void> {
  await createResource(store, { kind: 'Node', apiVersion, metadata: { name, labels }, spec: {} });
}

type Method = 'get' | 'list' | 'put' | 'delete';

/** A store before whose calls something happens. */
export function interpose(
  store: Datastore,
  around: <T>(method: Method, call: () => Promise<T>) => Promise<T>,
): Datastore {
  return {
    get: (key, options) => around('get', () => store.get(key, options)),
    list: (prefix, options) => around('list', () => store.list(prefix, options)),
    put: (key, value, options) => around('put', () => store.put(key, value, options)),
    delete: (key, options) => around('delete', () => store.delete(key, options)),
    renew: (entry: Entry, options) => store.renew(entry, options),
    watch: (prefix, options) => store.watch(prefix, options),
    [Symbol.asyncDispose]: async () => {},
  };
}

/**
 * A store whose answers take one step of time each: calls that are made together are answered together, so that steps are round
 * trips.
 */
export function countRoundTrips(store: Datastore): {
  store: Datastore;
  count(): { roundTrips: number; calls: number };
} {
  let [roundTrips, calls] = [0, 0];
  let waiting: PromiseWithResolvers<void> | undefined;
  const counted = interpose(store, async (_method, call) => {
    calls++;
    if (waiting === undefined) {
      waiting = Promise.withResolvers();
      // When nothing is left to do but to wait, the answers come.
      setImmediate(() => {
        roundTrips++;
        const { resolve } = waiting!;
        waiting = undefined;
        resolve();
      });
    }
    await waiting.promise;
    return await call();
  });
  return {
    store: counted,
    count() {
      const counts = { roundTrips, calls };
      [roundTrips, calls] = [0, 0];
      return counts;
    },
  };
}

/** What becomes of a call: `lost` is done, and its answer does not come. */
export type Fate = 'fine' | 'slow' | 'conflict' | 'unavailable' | 'lost';

/** A store whose calls meet a fate. A conflict is one of another's doing: only changes meet it. */
export function faultyStore(store: Datastore, fateOf: (method: Method) => Fate): Datastore {
  return interpose(store, async (method, call) => {
    const fate = fateOf(method);
    const isChange = method === 'put' || method === 'delete';
    if (fate === 'slow') await new Promise((resolve) => setImmediate(resolve));
    if (fate === 'conflict' && isChange) throw new FabricError('conflict', 'a conflict of the test');
    if (fate === 'unavailable') throw new FabricError('unavailable', 'a failure of the test');
    const answer = await call();
    if (fate === 'lost' && isChange) throw new FabricError('unavailable', 'an answer that the test lost');
    return answer;
  });
}
