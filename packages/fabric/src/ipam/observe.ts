import { type Cidr, formatCidr } from '@amphipod/netlink';
import type { Entry } from '../datastore/datastore.ts';
import {
  affinitiesPrefix,
  type BlockAffinity,
  parseAffinity,
  parseAffinityKey,
} from '../resources/block-affinity.ts';
import { blocksPrefix, type IpamBlock, parseBlock, parseBlockKey } from '../resources/ipam-block.ts';
import { handlesPrefix, type IpamHandle, parseHandle, parseHandleKey } from '../resources/ipam-handle.ts';
import { callOf, type Stored, type StorePlace } from './stored-object.ts';

/** Everything that the allocator keeps, as it was in the course of a moment. */
export interface Observation {
  /** By network. */
  blocks: ReadonlyMap<string, Stored<IpamBlock> & { cidr: Cidr }>;
  /** By id. */
  handles: ReadonlyMap<string, Stored<IpamHandle>>;
  affinities: readonly (Stored<BlockAffinity> & { node: string; cidr: Cidr })[];
  /** Entries that cannot be read, with the reason. */
  unreadable: readonly { key: string; why: string }[];
}

/** Reads all of it. While others go on allocating the parts are not of one moment. */
export async function observe({ store, signal }: StorePlace): Promise<Observation> {
  const prefixes = [blocksPrefix(4), blocksPrefix(6), handlesPrefix, affinitiesPrefix];
  const [blocks4, blocks6, handles, affinities] = await Promise.all(
    prefixes.map(async (prefix) => (await store.list(prefix, callOf(signal))).entries),
  );
  const unreadable: { key: string; why: string }[] = [];
  const read = <T>(entry: Entry, parse: (json: string, key: string) => T): Stored<T>[] => {
    try {
      return [{ value: parse(entry.value, entry.key), revision: entry.revision }];
    } catch (error) {
      unreadable.push({ key: entry.key, why: (error as Error).message });
      return [];
    }
  };
  return {
    blocks: new Map(
      [...blocks4!, ...blocks6!].flatMap((entry) => {
        const cidr = parseBlockKey(entry.key);
        if (cidr === undefined) return [];
        return read(entry, parseBlock).map((stored) => [formatCidr(cidr), { ...stored, cidr }] as const);
      }),
    ),
    handles: new Map(
      handles!.flatMap((entry) => {
        const id = parseHandleKey(entry.key);
        return id === undefined ? [] : read(entry, parseHandle).map((stored) => [id, stored] as const);
      }),
    ),
    affinities: affinities!.flatMap((entry) => {
      const id = parseAffinityKey(entry.key);
      if (id === undefined) return [];
      return read(entry, parseAffinity).map((stored) => ({ ...stored, node: id.host, cidr: id.cidr }));
    }),
    unreadable,
  };
}
