import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { BackgroundSync } from './background-sync.ts';

test('files one after another, then their directory; not those that are gone again, and not in the caller (CNI-10)', async () => {
  const synced: string[] = [];
  let running = 0;
  const sync = new BackgroundSync(async (path) => {
    assert.equal(running++, 0);
    await new Promise((resolve) => setImmediate(resolve));
    synced.push(path);
    running--;
  });
  for (const path of ['/a/1', '/a/2', '/a/3']) sync.add(path);
  sync.forget('/a/2');
  assert.deepEqual(synced, []);
  await sync.done();
  assert.deepEqual(synced, ['/a/1', '/a/3', '/a']);
  sync.add('/a/4');
  await sync.done();
  assert.deepEqual(synced.slice(3), ['/a/4', '/a']);
});

test('what cannot be synced does not hinder', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'cni-sync-'));
  try {
    const sync = new BackgroundSync();
    writeFileSync(join(dir, 'there'), '');
    for (const name of ['there', 'not-there']) sync.add(join(dir, name));
    await sync.done();
  } finally {
    rmSync(dir, { recursive: true });
  }
});
