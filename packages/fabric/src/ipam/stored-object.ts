import { setTimeout as delay } from 'node:timers/promises';
import { isCode } from '@amphipod/linux';
import type { Cidr } from '@amphipod/netlink';
import type { CallOptions, Datastore } from '../datastore/datastore.ts';
import { FabricError } from '../errors.ts';
import {
  affinityKey,
  type BlockAffinity,
  formatAffinity,
  parseAffinity,
} from '../resources/block-affinity.ts';
import { blockKey, formatBlock, type IpamBlock, parseBlock } from '../resources/ipam-block.ts';
import { formatHandle, handleKey, type IpamHandle, parseHandle } from '../resources/ipam-handle.ts';

const RACES = 100;
const MAX_PAUSE_MS = 50;

/** A value with the revision that it was read at. */
export interface Stored<T> {
  readonly value: T;
  readonly revision: bigint;
}

/** How a kind of value is kept. */
interface Codec<T> {
  parse(json: string, key: string): T;
  format(value: T): string;
}

const blocks: Codec<IpamBlock> = { parse: parseBlock, format: formatBlock };
const handles: Codec<IpamHandle> = { parse: parseHandle, format: formatHandle };
const affinities: Codec<BlockAffinity> = { parse: parseAffinity, format: formatAffinity };

/** One entry of the datastore, read and written by compare-and-swap. */
export class StoredObject<T> {
  readonly key: string;
  readonly #store: Datastore;
  readonly #codec: Codec<T>;
  readonly #call: CallOptions;

  constructor(place: { store: Datastore; key: string; call: CallOptions }, codec: Codec<T>) {
    this.key = place.key;
    this.#store = place.store;
    this.#call = place.call;
    this.#codec = codec;
  }

  async get(): Promise<Stored<T> | undefined> {
    const entry = await this.#store.get(this.key, this.#call);
    return entry && { value: this.#codec.parse(entry.value, this.key), revision: entry.revision };
  }

  /** @throws FabricError `conflict` when there is one */
  create(value: T): Promise<Stored<T>> {
    return this.replace({ revision: 0n }, value);
  }

  /** @throws FabricError `conflict` when it has been changed since */
  async replace({ revision }: Pick<Stored<T>, 'revision'>, value: T): Promise<Stored<T>> {
    const text = this.#codec.format(value);
    const entry = await this.#store.put(this.key, text, { ...this.#call, expected: revision });
    return { value, revision: entry.revision };
  }

  /** @throws FabricError `conflict` when it has been changed since, also when somebody else has deleted it */
  async delete({ revision }: Stored<T>): Promise<void> {
    await this.#store.delete(this.key, { ...this.#call, expected: revision });
  }
}

/** The entries of the allocator in a datastore. */
export interface StorePlace {
  store: Datastore;
  signal?: AbortSignal | undefined;
}

export function storedBlock({ store, signal }: StorePlace, cidr: Cidr): StoredObject<IpamBlock> {
  return new StoredObject({ store, key: blockKey(cidr), call: callOf(signal) }, blocks);
}

export function storedHandle({ store, signal }: StorePlace, handleId: string): StoredObject<IpamHandle> {
  return new StoredObject({ store, key: handleKey(handleId), call: callOf(signal) }, handles);
}

export function storedAffinity(
  { store, signal }: StorePlace,
  node: string,
  cidr: Cidr,
): StoredObject<BlockAffinity> {
  return new StoredObject({ store, key: affinityKey(node, cidr), call: callOf(signal) }, affinities);
}

export function callOf(signal: AbortSignal | undefined): CallOptions {
  return signal === undefined ? {} : { signal };
}

/**
 * Does something again while others are faster, after a short pause of random length.
 * @throws FabricError `conflict` after a hundred lost races
 */
export async function racing<T>(
  what: string,
  { signal }: Pick<StorePlace, 'signal'>,
  act: () => Promise<T>,
): Promise<T> {
  for (let races = 0; races < RACES; races++) {
    try {
      return await act();
    } catch (error) {
      if (!isCode(error, 'conflict')) throw error;
      signal?.throwIfAborted();
      await delay(Math.random() * Math.min(races, MAX_PAUSE_MS));
    }
  }
  throw new FabricError('conflict', `${what}: lost ${RACES} races against others`);
}
