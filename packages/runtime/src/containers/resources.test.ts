import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { CgroupLayout } from '@amphipod/linux';
import { LinuxContainerResources } from '../gen/api.ts';
import { clampOomScoreAdj, containerResources } from './resources.ts';
import { mergeResources } from './resources-in-force.ts';

/** With swap accounting, which a group below the root shows. */
const dir = mkdtempSync(join(tmpdir(), 'resources-'));
mkdirSync(`${dir}/group`);
writeFileSync(`${dir}/group/memory.swap.max`, 'max');
after(() => rmSync(dir, { recursive: true }));
const version2: CgroupLayout = { version: 2, mounts: new Map([['', dir]]) };
/** Without swap accounting. */
const version1: CgroupLayout = { version: 1, mounts: new Map([['memory', '/nowhere']]) };
const MiB = 2n ** 20n;

type Given = Parameters<typeof LinuxContainerResources.fromPartial>[0];
const resources = (given: Given) => LinuxContainerResources.fromPartial(given);

describe('containerResources', () => {
  it('leaves zeros out and keeps a quota of -1', () => {
    const given = resources({ cpuQuota: -1n, memoryLimitInBytes: 1024n, cpusetCpus: '0' });
    assert.deepEqual(containerResources(given, version1), {
      cpu: { quota: -1, cpus: '0' },
      memory: { limit: 1024 },
    });
    assert.deepEqual(containerResources(undefined, version2), {});
  });

  it('[RES-06] allows no swap beyond what was asked for', () => {
    const memory = (given: Given) => containerResources(resources(given), version2).memory;
    const limit = { memoryLimitInBytes: 100n * MiB };
    const bytes = 100 * 2 ** 20;
    assert.deepEqual(memory(limit), { limit: bytes, swap: bytes });
    assert.deepEqual(memory({ ...limit, memorySwapLimitInBytes: 100n * MiB }), { limit: bytes, swap: bytes });
    const more = memory({ ...limit, memorySwapLimitInBytes: 150n * MiB });
    assert.deepEqual(more, { limit: bytes, swap: 150 * 2 ** 20 });
    assert.deepEqual(memory({ ...limit, memorySwapLimitInBytes: -1n }), { limit: bytes, swap: -1 });
    assert.deepEqual(memory({ ...limit, unified: { 'memory.swap.max': '7' } }), { limit: bytes });
    assert.throws(() => memory({ ...limit, memorySwapLimitInBytes: 50n * MiB }), /below the memory limit/);
    assert.throws(() => memory({ memorySwapLimitInBytes: 50n * MiB }), /needs a memory_limit_in_bytes/);
  });

  const wrong: [field: string, given: Given][] = [
    ['cpu_period', { cpuPeriod: 999n }],
    ['cpu_period', { cpuPeriod: -1n }],
    ['cpu_quota', { cpuQuota: 1n }],
    ['cpu_quota', { cpuQuota: -2n }],
    ['cpu_shares', { cpuShares: 1n }],
    ['cpu_shares', { cpuShares: -5n }],
    ['cpuset_cpus', { cpusetCpus: '0-' }],
    ['cpuset_mems', { cpusetMems: 'all' }],
    ['memory_limit_in_bytes', { memoryLimitInBytes: -2n }],
    ['oom_score_adj', { oomScoreAdj: 1001n }],
    ['hugepage_limits', { hugepageLimits: [{ pageSize: '2', limit: 1n }] }],
    ['unified', { unified: { '../memory.high': '1' } }],
  ];
  for (const [field, given] of wrong) {
    it(`refuses ${JSON.stringify(given, (_, value) => (typeof value === 'bigint' ? String(value) : value))}`, () =>
      assert.throws(
        () => containerResources(resources(given), version2),
        new RegExp(`check resources: linux\\.${field}`),
      ));
  }

  it('refuses version 2 keys on version 1', () =>
    assert.throws(
      () => containerResources(resources({ unified: { 'memory.high': '1' } }), version1),
      /no such file on cgroup version 1/,
    ));
});

describe('mergeResources', () => {
  const before = resources({
    cpuShares: 512n,
    cpusetCpus: '0-1',
    memoryLimitInBytes: 100n * MiB,
    memorySwapLimitInBytes: 150n * MiB,
    hugepageLimits: [
      { pageSize: '2MB', limit: 2n },
      { pageSize: '1GB', limit: 3n },
    ],
    unified: { 'memory.high': '1', 'memory.low': '2' },
  });
  it('zero and empty leave what was', () => assert.deepEqual(mergeResources(before, resources({})), before));
  it('takes each field that is given', () => {
    const change = resources({
      cpuShares: 1024n,
      cpuQuota: -1n,
      hugepageLimits: [{ pageSize: '2MB', limit: 9n }],
      unified: { 'memory.high': '3' },
    });
    assert.deepEqual(mergeResources(before, change), {
      ...before,
      cpuShares: 1024n,
      cpuQuota: -1n,
      hugepageLimits: [
        { pageSize: '1GB', limit: 3n },
        { pageSize: '2MB', limit: 9n },
      ],
      unified: { 'memory.high': '3', 'memory.low': '2' },
    });
  });
  it('[RES-06] a new memory limit alone keeps the amount of swap', () => {
    const swapAfter = (limit: bigint, from = before) =>
      mergeResources(from, resources({ memoryLimitInBytes: limit })).memorySwapLimitInBytes;
    assert.equal(swapAfter(200n * MiB), 250n * MiB);
    assert.equal(swapAfter(-1n), -1n);
    assert.equal(swapAfter(200n * MiB, resources({ memoryLimitInBytes: MiB })), 0n);
    assert.equal(
      swapAfter(200n * MiB, resources({ memoryLimitInBytes: MiB, memorySwapLimitInBytes: -1n })),
      -1n,
    );
  });
});

describe('clampOomScoreAdj', () => {
  const without = { mayLower: false, own: '0\n' };
  const having = { mayLower: true, own: '0\n' };
  it('does not go below its own value without CAP_SYS_RESOURCE', () => {
    assert.equal(clampOomScoreAdj(-997, without), 0);
    assert.equal(clampOomScoreAdj(500, without), 500);
    assert.equal(clampOomScoreAdj(-997, having), -997);
  });
});
