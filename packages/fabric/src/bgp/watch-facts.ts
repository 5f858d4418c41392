import { isCode } from '@amphipod/linux';
import type { Datastore, Entry, WatchEvent } from '../datastore/datastore.ts';
import { affinitiesPrefix, parseAffinity, parseAffinityKey } from '../resources/block-affinity.ts';
import { kinds, type Resources } from '../resources/kinds.ts';
import type { BgpFacts, NodeBlock } from './bgp-facts.ts';

/** Kinds of resources that BGP follows from. Those of pods are many, and are watched only where somebody asks for them. */
type WatchedKind = 'Node' | 'IPPool' | 'BGPPeer' | 'BGPFilter' | 'BGPConfiguration' | 'WorkloadEndpoint';

const always = ['Node', 'IPPool', 'BGPPeer', 'BGPFilter', 'BGPConfiguration'] as const;

export interface WatchFactsOptions {
  store: Datastore;
  nodeName: string;
  password: BgpFacts['password'];
  /** Told when something has changed, once everything has been read. */
  onChange: (facts: BgpFacts) => void;
  /** Told of entries that cannot be read; they are passed over. */
  onInvalid: (error: Error) => void;
  /** Ends the watch. */
  signal: AbortSignal;
}

/** Watches all that BGP follows from, until the signal aborts. @throws what ends a watch */
export async function watchFacts(options: WatchFactsOptions): Promise<void> {
  const watched = new WatchedFacts(options);
  const ends = new AbortController();
  const signal = AbortSignal.any([options.signal, ends.signal]);
  try {
    await Promise.all(watched.start(signal));
  } finally {
    ends.abort();
  }
}

class Table<T> {
  readonly #values = new Map<string, T>();
  readonly #read: (entry: Entry) => T | undefined;
  isRead = false;
  #list: readonly T[] | undefined;

  constructor(read: (entry: Entry) => T | undefined) {
    this.#read = read;
  }

  /** In the order of the keys, so that nothing depends on what came first. */
  get values(): readonly T[] {
    this.#list ??= [...this.#values].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value);
    return this.#list;
  }

  learn(event: WatchEvent): void {
    this.#list = undefined;
    if (event.type === 'snapshot') {
      this.#values.clear();
      this.isRead = true;
      for (const entry of event.entries) this.#put(entry);
      return;
    }
    for (const change of event.changes) {
      if (change.type === 'put') this.#put(change.entry);
      else this.#values.delete(change.key);
    }
  }

  #put(entry: Entry): void {
    const value = this.#read(entry);
    if (value === undefined) this.#values.delete(entry.key);
    else this.#values.set(entry.key, value);
  }
}

class WatchedFacts {
  readonly #options: WatchFactsOptions;
  readonly #tables: { [K in WatchedKind]: Table<Resources[K]> };
  readonly #blocks: Table<NodeBlock>;
  #watchesEndpoints = false;

  constructor(options: WatchFactsOptions) {
    this.#options = options;
    const table = <K extends WatchedKind>(kind: K) =>
      new Table((entry) => this.#tolerantly(() => kinds[kind].decode(entry) as Resources[K] | undefined));
    this.#tables = {
      Node: table('Node'),
      IPPool: table('IPPool'),
      BGPPeer: table('BGPPeer'),
      BGPFilter: table('BGPFilter'),
      BGPConfiguration: table('BGPConfiguration'),
      WorkloadEndpoint: table('WorkloadEndpoint'),
    };
    this.#blocks = new Table((entry) => this.#tolerantly(() => readBlock(entry)));
  }

  start(signal: AbortSignal): Promise<void>[] {
    const endpoints = Promise.withResolvers<void>();
    signal.addEventListener('abort', () => endpoints.resolve(), { once: true });
    const onChange = () => {
      if (!this.#watchesEndpoints && this.#asksForEndpoints()) {
        this.#watchesEndpoints = true;
        this.#watch(kinds.WorkloadEndpoint.prefix(), this.#tables.WorkloadEndpoint, {
          signal,
          onChange,
        }).then(endpoints.resolve, endpoints.reject);
      }
      this.#tell();
    };
    return [
      ...always.map((kind) => this.#watch(kinds[kind].prefix(), this.#tables[kind], { signal, onChange })),
      this.#watch(affinitiesPrefix, this.#blocks, { signal, onChange }),
      endpoints.promise,
    ];
  }

  async #watch(
    prefix: string,
    table: { learn(event: WatchEvent): void },
    { signal, onChange }: { signal: AbortSignal; onChange: () => void },
  ): Promise<void> {
    for await (const event of this.#options.store.watch(prefix, { signal })) {
      table.learn(event);
      onChange();
    }
  }

  #asksForEndpoints(): boolean {
    return this.#tables.BGPPeer.values.some(({ spec }) => spec.localWorkloadSelector !== undefined);
  }

  #tell(): void {
    const { Node, IPPool, BGPPeer, BGPFilter, BGPConfiguration, WorkloadEndpoint } = this.#tables;
    const needed = [Node, IPPool, BGPPeer, BGPFilter, BGPConfiguration, this.#blocks];
    if (!needed.every(({ isRead }) => isRead)) return;
    const { nodeName, password, onChange } = this.#options;
    onChange({
      nodeName,
      password,
      nodes: Node.values,
      pools: IPPool.values,
      peers: BGPPeer.values,
      filters: BGPFilter.values,
      configurations: BGPConfiguration.values,
      blocks: this.#blocks.values,
      endpoints: WorkloadEndpoint.values,
    });
  }

  #tolerantly<T>(read: () => T | undefined): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!isCode(error, 'invalid-resource')) throw error;
      this.#options.onInvalid(error as Error);
      return undefined;
    }
  }
}

/** A node's block once its affinity is confirmed. @throws FabricError `invalid-resource` */
export function readBlock(entry: Entry): NodeBlock | undefined {
  const id = parseAffinityKey(entry.key);
  if (id === undefined || id.type !== 'host') return undefined;
  const { state, deleted } = parseAffinity(entry.value, entry.key);
  return state === 'confirmed' && !deleted ? { node: id.host, cidr: id.cidr } : undefined;
}
