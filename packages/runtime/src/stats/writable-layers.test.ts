import assert from 'node:assert/strict';
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { measureLayer } from './layer-size.ts';
import { WritableLayers } from './writable-layers.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'layers-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

describe('measureLayer', () => {
  it('counts every inode once, links not at all', async () => {
    mkdirSync(`${dir}/a/b`, { recursive: true });
    writeFileSync(`${dir}/a/file`, 'x'.repeat(10_000));
    linkSync(`${dir}/a/file`, `${dir}/a/b/again`);
    symlinkSync('/', `${dir}/a/root`);
    const { inodes, usedBytes } = await measureLayer(dir);
    assert.equal(inodes, 5n);
    assert.ok(usedBytes >= 10_000n && usedBytes < 100_000n, `${usedBytes}`);
  });
  it('is nothing for a layer that is gone', async () =>
    assert.deepEqual(await measureLayer(`${dir}/none`), { inodes: 0n, usedBytes: 0n }));
  it('ends when it is told to', async () => {
    writeFileSync(`${dir}/file`, '');
    await assert.rejects(measureLayer(dir, AbortSignal.abort()), { name: 'AbortError' });
  });
});

describe('WritableLayers', () => {
  it('has no figure before the first measurement and the same one for a while after it', async () => {
    using layers = new WritableLayers(() => assert.fail());
    assert.equal(layers.get('c', dir), undefined);
    await layers.settled(60_000);
    const first = layers.get('c', dir);
    assert.equal(first!.inodes, 1n);
    writeFileSync(`${dir}/new`, '');
    await layers.settled(60_000);
    assert.equal(layers.get('c', dir), first);
    layers.forget('c');
    assert.equal(layers.get('c', dir), undefined);
    await layers.settled(60_000);
    assert.equal(layers.get('c', dir)!.inodes, 2n);
  });
  it('reports a layer that cannot be measured, and goes on with the next', async () => {
    const failures: string[] = [];
    using layers = new WritableLayers((id) => failures.push(id));
    layers.get('bad', `${dir}/${'x'.repeat(300)}`);
    layers.get('good', dir);
    await layers.settled(60_000);
    assert.deepEqual(failures, ['bad']);
    assert.equal(layers.get('good', dir)!.inodes, 1n);
    assert.equal(layers.get('bad', dir), undefined);
  });
});
