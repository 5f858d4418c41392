import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { PatientWrites } from './patient-writes.ts';

const full = Object.assign(new Error('database or disk is full'), { errcode: 13 });

describe('PatientWrites (LIF-11)', () => {
  let dir: string;
  let isFull = false;
  let done: string[] = [];
  let changes: boolean[] = [];
  const work = (name: string) => () => {
    if (isFull) throw full;
    done.push(name);
  };
  const open = () =>
    new PatientWrites({ reserve: `${dir}/reserve`, onChange: (isWaiting) => changes.push(isWaiting) });
  beforeEach(() => {
    dir = mkdtempSync(`${tmpdir()}/patient-`);
    [isFull, done, changes] = [false, [], []];
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('writes at once where there is room, and keeps a reserve', () => {
    using writes = open();
    writes.write('a', work('a'));
    writes.writeNow(work('b'));
    assert.deepEqual([done, changes], [['a', 'b'], []]);
    assert.equal(statSync(`${dir}/reserve`).size, 256 * 1024);
  });
  it('gives up the reserve for a write, and the write is done then', () => {
    using writes = open();
    writes.write('a', () => {
      if (existsSync(`${dir}/reserve`)) throw full;
      done.push('a');
    });
    assert.deepEqual([done, changes], [['a'], []]);
  });
  it('has a reserve again when there is room, also when nothing had to wait', (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    using writes = open();
    writes.write('a', () => {
      if (existsSync(`${dir}/reserve`)) throw full;
    });
    assert.ok(!existsSync(`${dir}/reserve`));
    t.mock.timers.tick(5000);
    assert.equal(statSync(`${dir}/reserve`).size, 256 * 1024);
    assert.deepEqual(changes, []);
  });
  it('waits when that is not enough: the latest of each key, in order; new things are refused', () => {
    using writes = open();
    isFull = true;
    for (const [key, name] of ['a1', 'b1', 'a2'].map((text) => [text[0]!, text]))
      writes.write(key!, work(name!));
    assert.throws(() => writes.writeNow(work('new')), { code: 'resource-exhausted' });
    assert.deepEqual([done, changes], [[], [true]]);
    isFull = false;
    writes.writeNow(work('new'));
    assert.deepEqual(
      [done, changes],
      [
        ['b1', 'a2', 'new'],
        [true, false],
      ],
    );
    assert.ok(existsSync(`${dir}/reserve`), 'the reserve is there again');
  });
  it('does not hide other errors', () => {
    using writes = open();
    const broken = Object.assign(new Error('disk image is malformed'), { errcode: 11 });
    assert.throws(
      () =>
        writes.writeNow(() => {
          throw broken;
        }),
      broken,
    );
  });
});
