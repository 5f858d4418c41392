import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ImageStore, openImageStore } from '@amphipod/images';
import { buildImageLayout, type Entry } from '@amphipod/images/testing';
import { startFakeRegistry } from './images-fake-registry.ts';
import { listTree, scratch } from './images-support.ts';

/** AMPHIPOD_IMAGE_KILLS=200 for a long run; the suite has time for some. */
const rounds = Number(process.env.AMPHIPOD_IMAGE_KILLS ?? 12);
const seed = process.env.AMPHIPOD_TEST_SEED ?? randomBytes(4).toString('hex');
const names = ['a', 'b', 'c'];

/** Numbers from 0 to 1, the same for the same seed. */
function randomNumbers(text: string): () => number {
  let counter = 0;
  return () => createHash('sha256').update(`${text} ${counter++}`).digest().readUInt32LE(0) / 2 ** 32;
}

/** Pulls, loads and removes without end. */
const victim = `import { openImageStore } from ${JSON.stringify(import.meta.resolve('@amphipod/images'))};
const [root, seed, ...sources] = process.argv.slice(1);
const store = await openImageStore({ root });
console.log('open');
let n = Number('0x' + seed);
const next = (limit) => (n = (n * 1103515245 + 12345) % 2147483648) % limit;
for (;;) {
  const [reference, path] = sources[next(sources.length)].split(' ');
  const kind = next(4);
  if (kind === 0) await store.remove(reference);
  else if (kind === 1) await store.load({ kind: 'oci-layout', path, reference });
  else await store.pull(reference);
}`;

/** What each image looks like when it is whole. */
async function expectedTrees(root: string, references: readonly string[]): Promise<Map<string, string[]>> {
  await using store = await openImageStore({ root });
  const trees = new Map<string, string[]>();
  for (const reference of references) trees.set(reference, treeOf(store, await store.pull(reference)));
  return trees;
}

function treeOf(store: ImageStore, { id }: { id: string }): string[] {
  return store.lowerDirs(id).flatMap((dir) => listTree(dir, '%P %y %m %s %l'));
}

/** @returns true when the kill had left something half done */
async function checkStore(root: string, trees: Map<string, string[]>, pulledNext: string): Promise<boolean> {
  const said: string[] = [];
  await using store = await openImageStore({ root, log: (text) => said.push(text) });
  const { damages } = await store.verify();
  assert.deepEqual(damages, []);
  for (const image of store.list()) {
    const reference = image.repoTags[0]!;
    assert.deepEqual(treeOf(store, image), trees.get(reference), `${reference} is whole or absent`);
  }
  const layers = new Set(
    store.list().flatMap(({ id }) => store.describe(id).layers.map(({ chainId }) => chainId)),
  );
  assert.equal(readdirSync(`${root}/layers`).length, layers.size);
  assert.deepEqual([...readdirSync(`${root}/tmp`), ...readdirSync(`${root}/trash`)], []);
  assert.deepEqual(treeOf(store, await store.pull(pulledNext)), trees.get(pulledNext));
  return said.some((text) => text.includes('unfinished'));
}

test(`SIGKILL at random moments of ${rounds} pulls: every image is whole or absent, and the next pull succeeds`, async (t) => {
  t.diagnostic(`AMPHIPOD_TEST_SEED=${seed}`);
  const dir = scratch(t);
  const random = randomNumbers(seed);
  const shared: Entry[] = Array.from({ length: 60 }, (_, i) => ({
    path: `s/${i}`,
    data: randomBytes(40_000),
  }));
  const sources: string[] = [];
  for (const name of names) {
    const own: Entry[] = [
      { path: '.wh.s' },
      ...Array.from({ length: 40 }, (_, i) => ({ path: `${name}/${i}`, data: randomBytes(30_000) })),
    ];
    const path = `${dir}/${name}`;
    buildImageLayout(path, { layers: [shared, own, [{ path: name, data: name }]], name: 'localhost/x:1' });
    const { host } = await startFakeRegistry(t, path);
    sources.push(`${host}/t:1 ${path}`);
  }
  const references = sources.map((source) => source.split(' ')[0]!);
  const trees = await expectedTrees(`${dir}/expected`, references);
  const root = `${dir}/store`;
  let [killed, halfDone] = [0, 0];
  for (let round = 0; round < rounds; round++) {
    const args = [root, Math.floor(random() * 2 ** 30).toString(16), ...sources];
    const child = spawn(process.execPath, ['--input-type=module', '-e', victim, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exit = once(child, 'exit');
    // Also while the store is being opened.
    if (round % 8 !== 7) await Promise.race([once(child.stdout, 'data'), exit]);
    await sleep(random() * (round % 8 === 7 ? 400 : 700));
    child.kill('SIGKILL');
    const [, signal] = await exit;
    if (signal === 'SIGKILL') killed += 1;
    if (await checkStore(root, trees, references[round % references.length]!)) halfDone += 1;
  }
  t.diagnostic(`${halfDone} of ${rounds} kills left something half done`);
  assert.equal(killed, rounds, 'a child that ends by itself has failed');
});
