import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  cgroupCpuDetails,
  cgroupDeviceIo,
  cgroupHugePages,
  cgroupMemoryDetails,
  parseBlkio,
  parseIoStat,
} from './cgroup-details.ts';
import {
  cgroupCpuUsage,
  cgroupMemoryUsage,
  cgroupPressure,
  cgroupTasks,
  parsePressure,
} from './cgroup-usage.ts';
import type { CgroupLayout } from './cgroups.ts';
import { keyedValue, readKernelFile } from './kernel-file.ts';

/** Runs `work` on a tree of files that looks like a cgroup file system. */
function withGroup(
  version: 1 | 2,
  files: Record<string, string>,
  work: (layout: CgroupLayout) => void,
): void {
  const dir = mkdtempSync(join(tmpdir(), 'cgroup-test-'));
  try {
    const mounts = new Map<string, string>();
    if (version === 2) mounts.set('', dir);
    for (const [file, text] of Object.entries(files)) {
      const [controller, name] = file.split('/') as [string, string];
      const mountPoint = version === 2 ? dir : `${dir}/${controller}`;
      if (version === 1) mounts.set(controller, mountPoint);
      mkdirSync(`${mountPoint}/g`, { recursive: true });
      writeFileSync(`${mountPoint}/g/${name}`, text);
    }
    work({ version, mounts });
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const version2 = {
  'cpu/cpu.stat':
    'usage_usec 5000\nuser_usec 3000\nsystem_usec 2000\nnr_periods 7\nnr_throttled 2\nthrottled_usec 9\n',
  'cpu/cpu.max': '20000 100000\n',
  'cpu/cpu.weight': '39\n',
  'memory/memory.current': '1000\n',
  'memory/memory.stat':
    'anon 300\nfile 500\nkernel 40\nfile_mapped 60\ninactive_file 400\npgfault 11\npgmajfault 3\n',
  'memory/memory.swap.current': '5\n',
  'memory/memory.max': '2000\n',
  'memory/memory.swap.max': 'max\n',
  'memory/memory.min': '0\n',
  'memory/memory.peak': '1500\n',
  'memory/memory.events': 'low 0\nhigh 0\nmax 8\noom 1\noom_kill 1\n',
  'pids/pids.current': '4\n',
  'pids/pids.max': 'max\n',
  'cpu/cpu.pressure':
    'some avg10=1.50 avg60=0.25 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n',
};

const version1 = {
  'cpuacct/cpuacct.usage': '123456789\n',
  'cpuacct/cpuacct.stat': 'user 12\nsystem 3\n',
  'cpu/cpu.stat': 'nr_periods 7\nnr_throttled 2\nthrottled_time 900\n',
  'cpu/cpu.shares': '1024\n',
  'cpu/cpu.cfs_period_us': '100000\n',
  'cpu/cpu.cfs_quota_us': '-1\n',
  'memory/memory.usage_in_bytes': '1000\n',
  'memory/memory.stat':
    'cache 1\nrss 2\npgfault 5\npgmajfault 1\nhierarchical_memory_limit 2000\nhierarchical_memsw_limit 9223372036854771712\n' +
    'total_cache 500\ntotal_rss 300\ntotal_mapped_file 60\ntotal_swap 5\ntotal_pgfault 11\ntotal_pgmajfault 3\ntotal_inactive_file 1400\n',
  'memory/memory.limit_in_bytes': '2000\n',
  'memory/memory.memsw.limit_in_bytes': '9223372036854771712\n',
  'memory/memory.soft_limit_in_bytes': '9223372036854771712\n',
  'memory/memory.max_usage_in_bytes': '1500\n',
  'memory/memory.kmem.usage_in_bytes': '40\n',
  'memory/memory.failcnt': '8\n',
  'pids/pids.current': '4\n',
  'pids/pids.max': '100\n',
};

describe('usage of a cgroup', () => {
  it('is read from the files of version 2', () =>
    withGroup(2, version2, (layout) => {
      assert.deepEqual(cgroupCpuUsage(layout, '/g'), { usageNs: 5_000_000n });
      assert.deepEqual(cgroupMemoryUsage(layout, '/g'), {
        ...{
          usageBytes: 1000n,
          workingSetBytes: 600n,
          rssBytes: 300n,
          cacheBytes: 500n,
          mappedFileBytes: 60n,
        },
        ...{
          swapBytes: 5n,
          pageFaults: 11n,
          majorPageFaults: 3n,
          limitBytes: 2000n,
          swapLimitBytes: undefined,
        },
      });
      assert.deepEqual(cgroupTasks(layout, '/g'), { current: 4n, limit: undefined });
      assert.equal(cgroupPressure(layout, '/g', 'cpu')?.some.totalNs, 12_000n);
      assert.equal(cgroupPressure(layout, '/g', 'io'), undefined);
    }));
  it('is read from the files of version 1, where the working set is never below zero', () =>
    withGroup(1, version1, (layout) => {
      assert.deepEqual(cgroupCpuUsage(layout, '/g'), { usageNs: 123_456_789n });
      assert.deepEqual(cgroupMemoryUsage(layout, '/g'), {
        ...{ usageBytes: 1000n, workingSetBytes: 0n, rssBytes: 300n, cacheBytes: 500n, mappedFileBytes: 60n },
        ...{
          swapBytes: 5n,
          pageFaults: 11n,
          majorPageFaults: 3n,
          limitBytes: 2000n,
          swapLimitBytes: undefined,
        },
      });
      assert.deepEqual(cgroupTasks(layout, '/g'), { current: 4n, limit: 100n });
      assert.equal(cgroupPressure(layout, '/g', 'cpu'), undefined);
    }));
  it('is undefined for a group that is gone', () => {
    for (const version of [1, 2] as const) {
      withGroup(version, version === 1 ? version1 : version2, (layout) => {
        assert.equal(cgroupCpuUsage(layout, '/gone'), undefined);
        assert.equal(cgroupMemoryUsage(layout, '/gone'), undefined);
        assert.equal(cgroupTasks(layout, '/gone'), undefined);
        assert.equal(cgroupCpuDetails(layout, '/gone'), undefined);
        assert.equal(cgroupMemoryDetails(layout, '/gone'), undefined);
        assert.deepEqual(cgroupDeviceIo(layout, '/gone'), []);
      });
    }
  });
});

describe('details of a cgroup', () => {
  it('are the same figures from both versions', () => {
    const cpu = {
      userNs: 3_000_000n,
      systemNs: 2_000_000n,
      periods: 7n,
      throttledPeriods: 2n,
      throttledNs: 9000n,
    };
    withGroup(2, version2, (layout) => {
      assert.deepEqual(cgroupCpuDetails(layout, '/g'), {
        ...cpu,
        shares: 998n,
        periodUs: 100_000n,
        quotaUs: 20_000n,
      });
      assert.deepEqual(cgroupMemoryDetails(layout, '/g'), {
        ...{
          ownPageFaults: 11n,
          ownMajorPageFaults: 3n,
          maxUsageBytes: 1500n,
          kernelBytes: 40n,
          failures: 8n,
        },
        ...{ limitBytes: 2000n, swapLimitBytes: undefined, reservationBytes: 0n },
      });
    });
    withGroup(1, version1, (layout) => {
      assert.deepEqual(cgroupCpuDetails(layout, '/g'), {
        ...{
          userNs: 120_000_000n,
          systemNs: 30_000_000n,
          periods: 7n,
          throttledPeriods: 2n,
          throttledNs: 900n,
        },
        ...{ shares: 1024n, periodUs: 100_000n, quotaUs: undefined },
      });
      assert.deepEqual(cgroupMemoryDetails(layout, '/g'), {
        ...{
          ownPageFaults: 5n,
          ownMajorPageFaults: 1n,
          maxUsageBytes: 1500n,
          kernelBytes: 40n,
          failures: 8n,
        },
        ...{ limitBytes: 2000n, swapLimitBytes: undefined, reservationBytes: undefined },
      });
    });
  });
  it('block devices of both versions', () => {
    const expected = [{ major: 8, minor: 16, readBytes: 1n, writtenBytes: 2n, reads: 3n, writes: 4n }];
    assert.deepEqual(parseIoStat('8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n'), expected);
    const bytes = '8:16 Read 1\n8:16 Write 2\n8:16 Sync 9\n8:16 Total 3\nTotal 3\n';
    assert.deepEqual(parseBlkio(bytes, '8:16 Read 3\n8:16 Write 4\nTotal 7\n'), expected);
    assert.deepEqual(parseBlkio('Total 0\n', 'Total 0\n'), []);
  });
  it('huge pages, with their maximum on version 1', () => {
    withGroup(
      1,
      { 'hugetlb/hugetlb.2MB.usage_in_bytes': '5\n', 'hugetlb/hugetlb.2MB.max_usage_in_bytes': '9\n' },
      (layout) =>
        assert.deepEqual(cgroupHugePages(layout, '/g', ['2MB', '1GB']), [
          { pageSize: '2MB', usageBytes: 5n, maxUsageBytes: 9n },
        ]),
    );
    withGroup(2, { 'hugetlb/hugetlb.2MB.current': '5\n' }, (layout) =>
      assert.deepEqual(cgroupHugePages(layout, '/g', ['2MB']), [
        { pageSize: '2MB', usageBytes: 5n, maxUsageBytes: undefined },
      ]),
    );
  });
});

describe('kernel files', () => {
  it('keys are whole words at the beginning of a line', () => {
    const table = 'cache 1\ntotal_cache 2\ncachex 3\nlast 4';
    assert.equal(keyedValue(table, 'cache'), 1n);
    assert.equal(keyedValue(table, 'total_cache'), 2n);
    assert.equal(keyedValue(table, 'last'), 4n);
    assert.equal(keyedValue(table, 'che'), undefined);
  });
  it('of any length are read whole', () => {
    const dir = mkdtempSync(join(tmpdir(), 'kernel-file-'));
    const text = 'x'.repeat(100_001);
    writeFileSync(`${dir}/long`, text);
    assert.equal(readKernelFile(`${dir}/long`), text);
    assert.equal(readKernelFile(`${dir}/missing`), undefined);
    rmSync(dir, { recursive: true });
  });
  it('pressure without a line for all is zero there', () => {
    const { some, full } = parsePressure('some avg10=1.00 avg60=2.00 avg300=3.00 total=4\n');
    assert.deepEqual(some, { avg10: 1, avg60: 2, avg300: 3, totalNs: 4000n });
    assert.deepEqual(full, { avg10: 0, avg60: 0, avg300: 0, totalNs: 0n });
  });
});
