// Runs in the guest of power-cut-images.sh: `pull N` checks the images 1 to N-1, pulls image N and cuts the power;
// `check N` checks the images 1 to N.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync, writeSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { type ImageStore, openImageStore } from '@amphipod/images';
import { buildImageLayout, type Entry } from '@amphipod/images/testing';
import { startFakeRegistry } from '../kernel/images-fake-registry.ts';

const [mode, number] = [process.argv[2], Number(process.argv[3])];

/** The same bytes for the same name: the next boot must know them. */
function bytesOf(name: string, length: number): Buffer {
  const pieces = Array.from({ length: Math.ceil(length / 32) }, (_, i) =>
    createHash('sha256').update(`${name} ${i}`).digest(),
  );
  return Buffer.concat(pieces).subarray(0, length);
}

const files = (name: string, count: number): Entry[] =>
  Array.from({ length: count }, (_, i) => ({ path: `${name}/${i}`, data: bytesOf(`${name} ${i}`, 50_000) }));

async function check(store: ImageStore, count: number): Promise<void> {
  const { damages, checkedLayers } = await store.verify();
  assert.deepEqual(damages, []);
  const names = store.list().map(({ config }) => Number(config.User));
  assert.deepEqual(
    names.sort((a, b) => a - b),
    Array.from({ length: count }, (_, i) => i + 1),
    'every image whose pull has returned is there',
  );
  console.log(`${count} images, ${checkedLayers} layers: whole`);
}

const store = await openImageStore({ root: '/store/images', log: console.log });
if (mode === 'check') {
  await check(store, number);
  await store.close();
} else {
  await check(store, number - 1);
  const layers = [files('shared', 20), files(`own-${number}`, 60)];
  buildImageLayout('/tmp/layout', { layers, config: { User: String(number) } });
  const context = { after: () => {} } as unknown as TestContext;
  const { host } = await startFakeRegistry(context, '/tmp/layout');
  await store.pull(`${host}/t:${number}`);
  writeSync(1, `pulled ${number}, power off\n`);
  // The line must get out of the guest; nothing is synced in the meantime but what a busy machine would sync.
  await new Promise((resolve) => setTimeout(resolve, 200));
  writeFileSync('/proc/sysrq-trigger', 'b');
}
