import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { type TestContext, test } from 'node:test';
import type { ImageStore } from '@amphipod/images';
import { buildImageLayout, type Entry } from '@amphipod/images/testing';
import { mount, unmount } from '@amphipod/linux';
import { startFakeRegistry } from './images-fake-registry.ts';
import { openStore, scratch } from './images-support.ts';

const megabyte = 1024 * 1024;

/** A small file system of its own. */
function smallDisk(t: TestContext, options: string): string {
  const dir = mkdtempSync(`${tmpdir()}/amphipod-disk-`);
  mount(dir, { source: 'tmpfs', type: 'tmpfs', data: options });
  t.after(() => {
    unmount(dir);
    rmdirSync(dir);
  });
  return dir;
}

function layout(dir: string, name: string, { files = 1, bytes }: { files?: number; bytes: number }): string {
  const entries = Array.from(
    { length: files },
    (_, i): Entry => ({ path: `f${i}`, data: randomBytes(bytes) }),
  );
  buildImageLayout(`${dir}/${name}`, { layers: [entries], name: `localhost/${name}:1`, compression: 'none' });
  return `${dir}/${name}`;
}

/** Takes every byte that is left. */
function fill(dir: string): void {
  const fd = openSync(`${dir}/fill`, 'w');
  const piece = Buffer.alloc(64 * 1024);
  for (let size = piece.length; size >= 1; ) {
    try {
      if (writeSync(fd, piece, 0, size) < size) size >>= 1;
    } catch {
      size >>= 1;
    }
  }
  closeSync(fd);
  assert.equal(statfsSync(dir).bavail, 0);
}

const entriesOf = ({ root }: { root: string }) =>
  ['tmp', 'trash', 'layers', 'blobs/sha256'].map((dir) => readdirSync(`${root}/${dir}`).sort());

const isDiskFull = (root: string) => (error: unknown) => {
  const { code, message } = error as NodeJS.ErrnoException;
  assert.equal(code, 'disk-full');
  assert.ok(message.includes(root), message);
  return true;
};

test('LIF-11: a load, a download and an unpack that fill the disk say so and leave nothing', async (t) => {
  const [dir, disk] = [scratch(t), smallDisk(t, 'size=40m')];
  const store = await openStore(t, { root: `${disk}/store` });
  await store.load({ kind: 'oci-layout', path: layout(dir, 'small', { bytes: megabyte }) });
  const before = [entriesOf(store), store.usage()];
  const check = async (attempt: Promise<unknown>) => {
    await assert.rejects(attempt, isDiskFull(store.root));
    assert.deepEqual([entriesOf(store), store.usage()], before);
  };
  await check(store.load({ kind: 'oci-layout', path: layout(dir, 'blob', { bytes: 45 * megabyte }) }));
  // The blob fits, what it unpacks to does not.
  await check(store.load({ kind: 'oci-layout', path: layout(dir, 'layer', { bytes: 25 * megabyte }) }));
  const registry = await startFakeRegistry(t, `${dir}/blob`);
  await check(store.pull(`${registry.host}/t:1`));
  assert.deepEqual((await store.verify()).damages, []);
  await store.load({ kind: 'oci-layout', path: layout(dir, 'fits', { bytes: 5 * megabyte }) });
});

async function removeAll(store: ImageStore): Promise<void> {
  for (const { id } of store.list()) await store.remove(id);
  assert.deepEqual(store.usage(), { usedBytes: 0n, inodesUsed: 0n });
}

test('LIF-11: images can be removed on a full disk, before and after a restart, and the space comes back', async (t) => {
  const [dir, disk] = [scratch(t), smallDisk(t, 'size=40m')];
  const root = `${disk}/store`;
  let store = await openStore(t, { root });
  for (const name of ['a', 'b', 'c', 'd'])
    await store.load({ kind: 'oci-layout', path: layout(dir, name, { bytes: megabyte }) });
  fill(disk);
  await store.remove('localhost/a:1');
  assert.ok(statfsSync(disk).bavail > 0);
  store.acquire(store.find('localhost/b:1')!.id, 'container');
  fill(disk);
  assert.throws(() => store.acquire(store.find('localhost/c:1')!.id, 'container'), isDiskFull(root));
  await store.remove('localhost/b:1');
  store.release('container');
  await store.close();
  fill(disk);
  store = await openStore(t, { root });
  assert.deepEqual(
    store.list().map(({ repoTags }) => repoTags),
    [['localhost/c:1'], ['localhost/d:1']],
  );
  assert.deepEqual((await store.verify({ blobsOnly: true })).damages, []);
  await removeAll(store);
  assert.deepEqual(entriesOf({ root }), [[], [], [], []]);
});

test('LIF-11: the same without inodes', async (t) => {
  const [dir, disk] = [scratch(t), smallDisk(t, 'size=40m,nr_inodes=300')];
  const root = `${disk}/store`;
  let store = await openStore(t, { root });
  await store.load({ kind: 'oci-layout', path: layout(dir, 'a', { files: 20, bytes: 1000 }) });
  await store.load({ kind: 'oci-layout', path: layout(dir, 'b', { files: 20, bytes: 1000 }) });
  const before = entriesOf(store);
  const attempt = store.load({ kind: 'oci-layout', path: layout(dir, 'many', { files: 400, bytes: 10 }) });
  await assert.rejects(attempt, isDiskFull(root));
  assert.deepEqual(entriesOf(store), before);
  const fillInodes = () => {
    mkdirSync(`${disk}/fill`, { recursive: true });
    for (let i = 0; statfsSync(disk).ffree > 0; i++)
      writeFileSync(`${disk}/fill/${process.hrtime.bigint()}-${i}`, '');
  };
  fillInodes();
  await store.remove('localhost/a:1');
  await store.close();
  fillInodes();
  store = await openStore(t, { root });
  await removeAll(store);
});

test('LIF-11: whatever a load has no room for, blob, layer or database: all of it is there, or nothing', async (t) => {
  const [dir, disk] = [scratch(t), smallDisk(t, 'size=16m')];
  const store = await openStore(t, { root: `${disk}/store` });
  const source = { kind: 'oci-layout', path: layout(dir, 'a', { files: 3, bytes: 20_000 }) } as const;
  await store.load(source);
  await store.remove('localhost/a:1');
  const before = [entriesOf(store), store.usage()];
  let [loaded, refused] = [0, 0];
  for (let leftBytes = 0; leftBytes <= 320 * 1024; leftBytes += 8 * 1024) {
    fill(disk);
    truncateSync(`${disk}/fill`, statSync(`${disk}/fill`).size - leftBytes);
    try {
      const [image] = await store.load(source);
      loaded += 1;
      assert.deepEqual((await store.verify({ blobsOnly: true })).damages, []);
      await store.remove(image!.id);
    } catch (error) {
      refused += 1;
      assert.ok(isDiskFull(store.root)(error));
    }
    assert.deepEqual([entriesOf(store), store.usage()], before, `${leftBytes} bytes were left`);
    rmSync(`${disk}/fill`);
  }
  assert.ok(loaded > 5 && refused > 5, `${loaded} loaded, ${refused} refused`);
});
