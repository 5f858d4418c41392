import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { cgroupDir, detectCgroups } from '@amphipod/linux';
import type { LinuxContainerResources } from '../../packages/runtime/src/gen/api.ts';
import type { Given } from './support/client.ts';
import { useServer } from './support/fixture.ts';
import {
  containerInfo,
  createContainer,
  execText,
  exited,
  removePod,
  runPod,
  startContainer,
} from './support/pods.ts';
import { grpcCode, refuses } from './support/refuses.ts';
import { eventually } from './support/wait.ts';

type Resources = Given<LinuxContainerResources>;
const MiB = 2n ** 20n;
const isVersion2 = detectCgroups().version === 2;

// What containerd 1.6 does here: it forgets an update when it is restarted, and keeps halves of refused ones.
describe('resources changed while a container is there, with amphipod', () => {
  const fixture = useServer('amphipod');
  const update = (containerId: string, linux: Resources) =>
    fixture.cri.updateContainerResources({ containerId, linux });
  const reported = async (containerId: string) =>
    (await fixture.cri.containerStatus({ containerId })).status!.resources!.linux!;
  const initial: Resources = {
    cpuPeriod: 100_000n,
    cpuQuota: 200_000n,
    cpuShares: 512n,
    memoryLimitInBytes: 64n * MiB,
    memorySwapLimitInBytes: 64n * MiB,
    oomScoreAdj: 900n,
  };
  const start = async (resources: Resources = initial) => {
    const pod = await runPod(fixture.cri);
    return {
      pod,
      id: await startContainer(fixture.cri, pod, { image: fixture.image, linux: { resources } }),
    };
  };

  test('takes effect in the kernel at once, field by field, and the status says so', async () => {
    const { pod, id } = await start();
    assert.deepEqual(await limits(id), {
      quota: '200000',
      period: '100000',
      memory: `${64n * MiB}`,
      shares: 512,
    });
    await update(id, { cpuQuota: 50_000n });
    assert.deepEqual(await limits(id), {
      quota: '50000',
      period: '100000',
      memory: `${64n * MiB}`,
      shares: 512,
    });
    await update(id, {
      memoryLimitInBytes: 128n * MiB,
      memorySwapLimitInBytes: 128n * MiB,
      cpuShares: 1024n,
    });
    assert.deepEqual(await limits(id), {
      quota: '50000',
      period: '100000',
      memory: `${128n * MiB}`,
      shares: 1024,
    });
    await update(id, { memoryLimitInBytes: 32n * MiB });
    const now = await reported(id);
    assert.deepEqual(
      [now.cpuQuota, now.cpuPeriod, now.cpuShares, now.memoryLimitInBytes, now.memorySwapLimitInBytes],
      [50_000n, 100_000n, 1024n, 32n * MiB, 32n * MiB],
    );
    assert.equal((await limits(id)).memory, `${32n * MiB}`);
    await update(id, { cpuQuota: -1n, cpuPeriod: 50_000n });
    const { quota, period } = await limits(id);
    assert.deepEqual([quota, period], [isVersion2 ? 'max' : '-1', '50000']);
    await update(id, { oomScoreAdj: 950n });
    assert.equal(await execText(fixture.cri, id, ['cat', '/proc/1/oom_score_adj']), '950\n');
    assert.equal((await reported(id)).oomScoreAdj, 950n);
    await removePod(fixture.cri, pod);
  });

  test('an empty change changes nothing', async () => {
    const { pod, id } = await start();
    const before = [await limits(id), await reported(id)];
    await update(id, {});
    assert.deepEqual([await limits(id), await reported(id)], before);
    await removePod(fixture.cri, pod);
  });

  test('cpusets', async () => {
    const { pod, id } = await start();
    await update(id, { cpusetCpus: '0', cpusetMems: '0' });
    const allowed = await execText(fixture.cri, id, ['grep', 'Cpus_allowed_list', '/proc/1/status']);
    assert.equal(allowed, 'Cpus_allowed_list:\t0\n');
    assert.equal((await reported(id)).cpusetCpus, '0');
    await removePod(fixture.cri, pod);
  });

  const wrong: [what: string, change: Resources, text: RegExp][] = [
    ['a period that is too short', { cpuPeriod: 10n }, /linux\.cpu_period 10/],
    ['a quota that is too small', { cpuQuota: 5n }, /linux\.cpu_quota 5/],
    ['negative shares', { cpuShares: -1n }, /linux\.cpu_shares -1/],
    ['a negative memory limit', { memoryLimitInBytes: -7n }, /linux\.memory_limit_in_bytes -7/],
    [
      'swap below memory',
      { memorySwapLimitInBytes: 1n * MiB },
      /linux\.memory_swap_limit_in_bytes 1048576.*below/,
    ],
    ['a cpuset that is no list', { cpusetCpus: 'two' }, /linux\.cpuset_cpus "two"/],
    ['an oom score out of range', { oomScoreAdj: 2000n }, /linux\.oom_score_adj 2000/],
    [
      'huge pages of no size',
      { hugepageLimits: [{ pageSize: 'big', limit: 1n }] },
      /hugepage_limits\.page_size "big"/,
    ],
    ['a path as a unified key', { unified: { '../cpu.max': '1' } }, /linux\.unified "\.\.\/cpu\.max"/],
  ];
  for (const [what, change, text] of wrong) {
    test(`refused, with everything as before: ${what}`, async () => {
      const { pod, id } = await start();
      const before = [await limits(id), await reported(id)];
      // Right values along with the wrong one must not stick either.
      await refuses(update(id, { cpuShares: 2048n, ...change }), grpcCode.INVALID_ARGUMENT, text);
      assert.deepEqual([await limits(id), await reported(id)], before);
      await removePod(fixture.cri, pod);
    });
  }

  test('refused by the kernel half way: what had been written is taken back', async () => {
    const { pod, id } = await start();
    const before = [await limits(id), await reported(id)];
    const change = { cpuShares: 2048n, cpuQuota: 70_000n, memoryLimitInBytes: 96n * MiB, cpusetCpus: '4000' };
    await refuses(update(id, change), grpcCode.FAILED_PRECONDITION, /update container .*cpuset/);
    assert.deepEqual([await limits(id), await reported(id)], before);
    if (isVersion2) {
      const unified = { 'memory.no_such_file': '1' };
      await refuses(update(id, { cpuQuota: 70_000n, unified }), grpcCode.FAILED_PRECONDITION, /no_such_file/);
      assert.deepEqual([await limits(id), await reported(id)], before);
    }
    assert.equal(await execText(fixture.cri, id, ['echo', 'lives']), 'lives\n');
    await removePod(fixture.cri, pod);
  });

  test('[RES-06] a memory limit below what is used is refused, and kills nobody', async () => {
    const script =
      'mkdir /m; x=$(yes | head -c 25000000); trap "exit 0" TERM; echo ready > /m/r; sleep 1000000 & wait';
    const pod = await runPod(fixture.cri);
    const id = await startContainer(fixture.cri, pod, {
      image: fixture.image,
      command: ['sh', '-c', script],
      linux: { resources: initial },
    });
    await eventually('the memory to be used', async () =>
      (await execText(fixture.cri, id, ['ls', '/m'])).includes('r'),
    );
    const before = [await limits(id), await reported(id)];
    const change = { memoryLimitInBytes: 8n * MiB, memorySwapLimitInBytes: 8n * MiB, cpuQuota: 30_000n };
    await refuses(
      update(id, change),
      grpcCode.FAILED_PRECONDITION,
      /memory_limit_in_bytes 8388608: it uses \d+ bytes/,
    );
    assert.deepEqual([await limits(id), await reported(id)], before);
    assert.equal(await execText(fixture.cri, id, ['echo', 'lives']), 'lives\n');
    await removePod(fixture.cri, pod);
  });

  test('[RES-06] unified keys and swap on version 2; refused on version 1', async () => {
    const { pod, id } = await start({ memoryLimitInBytes: 100n * MiB });
    const unified = { 'memory.high': `${80n * MiB}` };
    if (isVersion2) {
      await learn(id);
      const file = (name: string) => readFileSync(`${cgroupOf(id)}/${name}`, 'latin1').trim();
      assert.equal(file('memory.swap.max'), '0');
      await update(id, { unified });
      assert.equal(file('memory.high'), unified['memory.high']);
      await update(id, { memorySwapLimitInBytes: 150n * MiB });
      assert.equal(file('memory.swap.max'), `${50n * MiB}`);
      await update(id, { memoryLimitInBytes: 200n * MiB });
      assert.deepEqual([file('memory.max'), file('memory.swap.max')], [`${200n * MiB}`, `${50n * MiB}`]);
      assert.equal((await reported(id)).memorySwapLimitInBytes, 250n * MiB);
    } else {
      await refuses(update(id, { unified }), grpcCode.INVALID_ARGUMENT, /no such file on cgroup version 1/);
    }
    await removePod(fixture.cri, pod);
  });

  test('before the start: for the start; after the end: only noted', async () => {
    const pod = await runPod(fixture.cri);
    const given = { image: fixture.image, linux: { resources: initial } };
    const id = await createContainer(fixture.cri, pod, given);
    await update(id, { memoryLimitInBytes: 96n * MiB, oomScoreAdj: 970n });
    assert.equal((await reported(id)).memoryLimitInBytes, 96n * MiB);
    await fixture.cri.startContainer({ containerId: id });
    assert.equal((await limits(id)).memory, `${96n * MiB}`);
    assert.equal(await execText(fixture.cri, id, ['cat', '/proc/1/oom_score_adj']), '970\n');
    await fixture.cri.stopContainer({ containerId: id, timeout: 5 });
    await exited(fixture.cri, id);
    await update(id, { memoryLimitInBytes: 100n * MiB });
    const { memoryLimitInBytes, cpuQuota } = await reported(id);
    assert.deepEqual([memoryLimitInBytes, cpuQuota], [100n * MiB, 200_000n]);
    await removePod(fixture.cri, pod);
  });

  test('survives a restart of the daemon', async () => {
    const { pod, id } = await start();
    await update(id, { cpuQuota: 40_000n, memoryLimitInBytes: 96n * MiB });
    const before = [await limits(id), await reported(id)];
    await fixture.server.kill();
    await fixture.server.start();
    assert.deepEqual([await limits(id), await reported(id)], before);
    await update(id, { cpuQuota: 45_000n });
    assert.equal((await reported(id)).memoryLimitInBytes, 96n * MiB);
    await removePod(fixture.cri, pod);
  });

  test('unknown containers and a request without limits are refused', async () => {
    const { pod, id } = await start();
    await refuses(update('f'.repeat(64), { cpuShares: 2n }), grpcCode.NOT_FOUND, /no such container/);
    await refuses(
      fixture.cri.updateContainerResources({ containerId: id }),
      grpcCode.INVALID_ARGUMENT,
      /linux: missing/,
    );
    await removePod(fixture.cri, pod);
  });

  test('UpdatePodSandboxResources: right values are taken, wrong ones and unknown pods refused', async () => {
    const { pod, id } = await start();
    const before = [await limits(id), await reported(id)];
    const podSandboxId = pod.id;
    const resources = {
      cpuShares: 1024n,
      cpuQuota: 100_000n,
      cpuPeriod: 100_000n,
      memoryLimitInBytes: 512n * MiB,
    };
    assert.deepEqual(
      await fixture.cri.updatePodSandboxResources({ podSandboxId, resources, overhead: { cpuShares: 2n } }),
      {},
    );
    assert.deepEqual(await fixture.cri.updatePodSandboxResources({ podSandboxId }), {});
    for (const given of [{ resources: { cpuQuota: 3n } }, { overhead: { cpuQuota: 3n } }]) {
      const call = fixture.cri.updatePodSandboxResources({ podSandboxId, ...given });
      await refuses(call, grpcCode.INVALID_ARGUMENT, /linux\.cpu_quota 3/);
    }
    const unknown = fixture.cri.updatePodSandboxResources({ podSandboxId: 'f'.repeat(64), resources });
    await refuses(unknown, grpcCode.NOT_FOUND, /no such sandbox/);
    assert.deepEqual([await limits(id), await reported(id)], before, 'the pod’s cgroup is the kubelet’s');
    await removePod(fixture.cri, pod);
  });

  const paths = new Map<string, string>();
  /** The container's cgroup path; learned once, since a verbose status says it. */
  async function learn(containerId: string): Promise<string> {
    const { cgroupPath } = await containerInfo(fixture.cri, containerId);
    paths.set(containerId, cgroupPath);
    return cgroupPath;
  }
  function cgroupOf(containerId: string, controller = 'memory'): string {
    return cgroupDir(detectCgroups(), paths.get(containerId)!, controller)!;
  }

  /** What the kernel has. Shares are about right on version 2, where weights are coarser. */
  async function limits(containerId: string) {
    await learn(containerId);
    const read = (controller: string, file: string) =>
      readFileSync(`${cgroupOf(containerId, controller)}/${file}`, 'latin1').trim();
    if (!isVersion2) {
      return {
        quota: read('cpu', 'cpu.cfs_quota_us'),
        period: read('cpu', 'cpu.cfs_period_us'),
        memory: read('memory', 'memory.limit_in_bytes'),
        shares: Number(read('cpu', 'cpu.shares')),
      };
    }
    const [quota, period] = read('cpu', 'cpu.max').split(' ');
    const weights = new Map([
      ['20', 512],
      ['39', 1024],
    ]);
    const shares = weights.get(read('cpu', 'cpu.weight'));
    return { quota, period, memory: read('memory', 'memory.max'), shares };
  }
});
