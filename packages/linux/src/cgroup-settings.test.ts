import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { cgroupCountsSwap, cgroupRestore, cgroupSettings, cgroupWrite } from './cgroup-settings.ts';
import type { CgroupLayout } from './cgroups.ts';

let dir: string;
let version2: CgroupLayout;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'cgroup-settings-'));
  mkdirSync(`${dir}/g`);
  version2 = { version: 2, mounts: new Map([['', dir]]) };
});
afterEach(() => rmSync(dir, { recursive: true }));
const put = (file: string, text: string) => writeFileSync(`${dir}/g/${file}`, text);
const get = (file: string) => readFileSync(`${dir}/g/${file}`, 'latin1').trim();

describe('settings of a cgroup', () => {
  it('are read and set back as they were, with the files that are asked for', () => {
    put('cpu.max', '20000 100000\n');
    put('memory.max', 'max\n');
    put('memory.high', '5\n');
    const saved = cgroupSettings(version2, '/g', ['memory.high', 'memory.none']);
    assert.deepEqual([...saved.keys()].toSorted(), ['cpu.max', 'memory.high', 'memory.max']);
    cgroupWrite(version2, '/g', ['memory.high', '7']);
    put('cpu.max', '1000 2000\n');
    cgroupRestore(version2, '/g', saved);
    assert.deepEqual([get('cpu.max'), get('memory.max'), get('memory.high')], ['20000 100000', 'max', '5']);
  });
  it('a file that is not there cannot be written, nor one of a controller that is not', () => {
    assert.throws(() => cgroupWrite(version2, '/g', ['memory.none', '1']), /ENOENT.*memory\.none/);
    const version1: CgroupLayout = { version: 1, mounts: new Map([['memory', dir]]) };
    assert.throws(() => cgroupWrite(version1, '/g', ['hugetlb.2MB.max', '1']), /no such controller/);
  });
  it('swap is counted where the kernel has the file', () => {
    const version1: CgroupLayout = { version: 1, mounts: new Map([['memory', dir]]) };
    assert.deepEqual([cgroupCountsSwap(version1), cgroupCountsSwap(version2)], [false, false]);
    put('memory.swap.max', 'max\n');
    assert.equal(cgroupCountsSwap(version2), true);
    writeFileSync(`${dir}/memory.memsw.limit_in_bytes`, '1\n');
    assert.equal(cgroupCountsSwap(version1), true);
    assert.equal(cgroupCountsSwap({ version: 1, mounts: new Map() }), false);
  });
});
