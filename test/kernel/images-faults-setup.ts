import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import type { TestContext } from 'node:test';
import type { ImageStoreOptions } from '@amphipod/images';
import { buildImageLayout, type Entry } from '@amphipod/images/testing';
import { type Misbehaviour, startFakeRegistry } from './images-fake-registry.ts';
import { openStore, scratch } from './images-support.ts';

// What the tests of pulls from misbehaving registries share.

export const retries = { attempts: 4, baseDelayMs: 10, maxDelayMs: 1_500 };

/** Layers whose blobs cannot be compressed, so that their size is known. */
export function randomLayers(count: number, bytes: number): Entry[][] {
  return Array.from({ length: count }, (_, i) => [{ path: `f${i}`, data: noise(bytes, i) }]);
}

export function noise(bytes: number, seed: number): Buffer {
  const data = Buffer.alloc(bytes);
  let state = seed * 7919 + 1;
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    data[i] = state >>> 24;
  }
  return data;
}

/** An image in a registry that misbehaves, and an empty store. */
export async function setUp(
  t: TestContext,
  {
    layers = randomLayers(2, 200_000),
    misbehave,
    options = {},
  }: {
    layers?: Entry[][];
    misbehave?: Misbehaviour;
    options?: Omit<ImageStoreOptions, 'root'>;
  } = {},
) {
  const layout = `${scratch(t)}/layout`;
  const built = buildImageLayout(layout, { layers, name: 't:latest' });
  const registry = await startFakeRegistry(t, layout, misbehave);
  const store = await openStore(t, { retries, progressTimeoutMs: 1_000, ...options });
  return { ...built, registry, store, reference: `${registry.host}/t:latest`, layout, layers };
}

export const isLayer = (path: string, blob: Buffer | undefined) =>
  path.includes('/blobs/') && (blob?.length ?? 0) > 100_000;

/** What a failed pull must leave: nothing. */
export function assertEmpty(store: {
  root: string;
  list(): readonly unknown[];
  usage(): { usedBytes: bigint };
}): void {
  assert.deepEqual(store.list(), []);
  assert.equal(store.usage().usedBytes, 0n);
  for (const place of ['tmp', 'trash', 'layers', 'blobs/sha256'])
    assert.deepEqual(readdirSync(`${store.root}/${place}`), [], place);
}
