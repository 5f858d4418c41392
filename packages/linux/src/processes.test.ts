import assert from 'node:assert/strict';
import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, it } from 'node:test';
import { FileLock } from './file-lock.ts';
import { findProcess, isAlive, killQuietly, processTree, signalProcess } from './processes.ts';
import { spawnProcess } from './spawn.ts';
import { UndoStack } from './undo-stack.ts';

const nothing = openSync('/dev/null', 'r+');
const start = (script: string) =>
  spawnProcess('/bin/sh', ['-c', script], {
    env: { PATH: '/bin:/usr/bin' },
    fds: [nothing, nothing, nothing],
  });

describe('spawnProcess', () => {
  it('gives exit codes, and 128 + signal', async () => {
    assert.equal(await start('exit 7').exited, 7);
    assert.equal(await start('kill -9 $$').exited, 137);
  });
  it('says which program cannot be started', () => {
    assert.throws(() => spawnProcess('/nonexistent', [], { env: {}, fds: [] }), {
      code: 'ENOENT',
      message: /posix_spawn "\/nonexistent"/,
    });
  });
  it('refuses descriptors that would overwrite one another', () => {
    assert.throws(() => spawnProcess('/bin/true', [], { env: {}, fds: [nothing, 0] }), RangeError);
  });
});

describe('processes', () => {
  it('tells a process from the next owner of its pid', async () => {
    const { pid, exited } = start('sleep 60');
    const found = findProcess(pid)!;
    assert.ok(isAlive(found));
    assert.ok(!isAlive({ ...found, startTicks: found.startTicks - 1 }));
    assert.equal(signalProcess({ ...found, startTicks: 1 }, 'SIGKILL'), false);
    assert.ok(signalProcess(found, 'SIGKILL'));
    assert.equal(await exited, 137);
    assert.equal(findProcess(pid), undefined);
    assert.equal(killQuietly(pid, 'SIGKILL'), false);
  });
  it('finds descendants', async () => {
    const { pid, exited } = start('sleep 60 & sleep 60 & wait');
    while (processTree(pid).length < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    for (const member of processTree(pid)) killQuietly(member, 'SIGKILL');
    assert.equal(await exited, 137);
  });
});

describe('FileLock', () => {
  it('has one holder at a time, and hands over', async () => {
    const dir = mkdtempSync(`${tmpdir()}/lock-`);
    const path = `${dir}/lock`;
    const order: string[] = [];
    {
      using _first = await FileLock.acquire(path);
      assert.equal(FileLock.try(path), undefined);
      await assert.rejects(FileLock.acquire(path, { signal: AbortSignal.timeout(20) }), {
        name: /Timeout|Abort/,
      });
      order.push('first');
    }
    using _second = await FileLock.acquire(path);
    order.push('second');
    assert.deepEqual(order, ['first', 'second']);
    rmSync(dir, { recursive: true });
  });

  it('is there for files that can only be read', () => {
    const dir = mkdtempSync(`${tmpdir()}/lock-`);
    const existing = true;
    assert.throws(() => FileLock.try(`${dir}/lock`, { existing }), { code: 'ENOENT' });
    using _first = FileLock.try('/proc/self/ns/net', { existing });
    assert.equal(FileLock.try('/proc/self/ns/net', { existing }), undefined);
    rmSync(dir, { recursive: true });
  });
});

describe('UndoStack', () => {
  it('undoes last in first out, on through failures, and not after commit', async () => {
    const log: string[] = [];
    const failed: string[] = [];
    {
      await using undo = new UndoStack((what) => failed.push(what));
      undo.defer('a', () => void log.push('a'));
      undo.defer('b', () => {
        throw new Error('b');
      });
      undo.defer('c', async () => void log.push('c'));
    }
    {
      await using undo = new UndoStack((what) => failed.push(what));
      undo.defer('d', () => void log.push('d'));
      undo.commit();
    }
    assert.deepEqual([log, failed], [['c', 'a'], ['b']]);
  });
});
