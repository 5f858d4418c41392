import assert from 'node:assert/strict';
import { lstatSync, readdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { detectCgroups } from '@amphipod/linux';
import type { ContainerStats } from '../../packages/runtime/src/gen/api.ts';
import { useServer } from './support/fixture.ts';
import {
  containerInfo,
  createContainer,
  execText,
  exited,
  kubeletNamespaces,
  NamespaceMode,
  podIp,
  removePod,
  runPod,
  startContainer,
} from './support/pods.ts';
import { childrenOf, statFields } from './support/proc.ts';
import { grpcCode, refuses } from './support/refuses.ts';
import { eventually } from './support/wait.ts';

const MiB = 2n ** 20n;
const unknown = 'f'.repeat(64);

// containerd 1.6 has neither pod stats nor metrics by default, and counts its layers every 10 s.
describe('stats with amphipod', () => {
  const fixture = useServer('amphipod');
  const statsOf = async (containerId: string) => (await fixture.cri.containerStats({ containerId })).stats!;
  /** Inode numbers of everything in a container's writable layer. */
  const inodesOf = async (containerId: string) => {
    const { upper } = (await containerInfo(fixture.cri, containerId)).paths;
    const names = readdirSync(upper, { recursive: true, encoding: 'utf8' });
    return new Set([upper, ...names.map((name) => `${upper}/${name}`)].map((path) => lstatSync(path).ino));
  };
  const shell = (id: string, script: string) => execText(fixture.cri, id, ['sh', '-c', script]);

  test('a container: attributes, CPU time that rises, its rate, memory against the limit', async () => {
    const labels = { app: 'stats' };
    const annotations = { note: 'kept' };
    const pod = await runPod(fixture.cri);
    const id = await startContainer(fixture.cri, pod, {
      image: fixture.image,
      metadata: { name: 'busy', attempt: 3 },
      labels,
      annotations,
      command: ['sh', '-c', 'trap "exit 0" TERM; while :; do :; done'],
      linux: { resources: { memoryLimitInBytes: 64n * MiB } },
    });
    const first = await statsOf(id);
    assert.equal(first.attributes!.id, id);
    assert.deepEqual(first.attributes!.metadata, { name: 'busy', attempt: 3 });
    assert.deepEqual({ ...first.attributes!.labels }, labels);
    assert.deepEqual({ ...first.attributes!.annotations }, annotations);
    assert.equal(first.cpu!.usageNanoCores, undefined, 'no rate of a first reading');
    const next = await eventually('a rate', async () => {
      const stats = await statsOf(id);
      return stats.cpu!.usageNanoCores !== undefined && stats;
    });
    const usedNs = next.cpu!.usageCoreNanoSeconds!.value - first.cpu!.usageCoreNanoSeconds!.value;
    const tookNs = next.cpu!.timestamp - first.cpu!.timestamp;
    assert.ok(usedNs > 0n && usedNs < 2n * tookNs, `${usedNs} ns in ${tookNs} ns`);
    const rate = next.cpu!.usageNanoCores!.value;
    assert.ok(rate > 0n && rate < 2_000_000_000n, `${rate}`);
    const memory = next.memory!;
    assert.ok(memory.workingSetBytes!.value > 0n);
    assert.ok(memory.workingSetBytes!.value <= memory.usageBytes!.value);
    assert.equal(memory.availableBytes!.value + memory.workingSetBytes!.value, 64n * MiB);
    assert.ok(memory.rssBytes!.value > 0n && memory.pageFaults!.value > 0n);
    assert.ok(next.memory!.timestamp > first.memory!.timestamp);
    assert.equal(next.swap?.swapUsageBytes?.value, 0n);
    await removePod(fixture.cri, pod);
  });

  test('memory: the working set leaves inactive file pages out; without a limit nothing is available', async () => {
    const pod = await runPod(fixture.cri);
    const id = await startContainer(fixture.cri, pod, { image: fixture.image });
    const before = (await statsOf(id)).memory!;
    assert.equal(before.availableBytes, undefined);
    assert.equal(await shell(id, 'dd if=/dev/zero of=/file bs=1M count=20 2>/dev/null'), '');
    const after = (await statsOf(id)).memory!;
    const grown = (field: 'usageBytes' | 'workingSetBytes') => after[field]!.value - before[field]!.value;
    assert.ok(grown('usageBytes') > 15n * MiB, `usage grew by ${grown('usageBytes')}`);
    assert.ok(grown('workingSetBytes') < 10n * MiB, `working set grew by ${grown('workingSetBytes')}`);
    await removePod(fixture.cri, pod);
  });

  test('the writable layer: bytes and inodes, brought up to date in the background', async () => {
    const pod = await runPod(fixture.cri);
    const id = await startContainer(fixture.cri, pod, { image: fixture.image });
    await shell(
      id,
      'mkdir /d; for i in 1 2 3; do echo x > /d/$i; done; ln /d/1 /d/again; dd if=/dev/zero of=/big bs=1M count=3; sync',
    );
    const { writableLayer } = await statsOf(id);
    const { usedBytes, inodesUsed, fsId, timestamp } = writableLayer!;
    // With what the OCI runtime made for mounts. Of the three files in /d one has two names.
    assert.equal(inodesUsed!.value, BigInt((await inodesOf(id)).size));
    assert.ok(usedBytes!.value >= 3n * MiB && usedBytes!.value < 4n * MiB, `${usedBytes!.value}`);
    const { imageFilesystems } = await fixture.cri.imageFsInfo();
    assert.equal(fsId!.mountpoint, imageFilesystems[0]!.fsId!.mountpoint);
    await shell(id, 'touch /d/4');
    assert.equal((await statsOf(id)).writableLayer!.timestamp, timestamp, 'no walk for each call');
    const again = await eventually(
      'a second measurement',
      async () => {
        const layer = (await statsOf(id)).writableLayer!;
        return layer.timestamp > timestamp && layer;
      },
      { timeoutMs: 30_000, everyMs: 500 },
    );
    assert.equal(again.inodesUsed!.value, inodesUsed!.value + 1n);
    await removePod(fixture.cri, pod);
  });

  test('a container that does not run has its layer only; an unknown one is not found', async () => {
    const pod = await runPod(fixture.cri);
    const created = await createContainer(fixture.cri, pod, { image: fixture.image });
    const stats = await statsOf(created);
    assert.equal(stats.attributes!.id, created);
    assert.equal(stats.cpu, undefined);
    assert.equal(stats.memory, undefined);
    assert.equal(stats.writableLayer!.inodesUsed!.value, 1n);
    await refuses(statsOf(unknown), grpcCode.NOT_FOUND, /no such container/);
    await refuses(statsOf(''), grpcCode.NOT_FOUND, /no such container/);
    await refuses(
      fixture.cri.podSandboxStats({ podSandboxId: unknown }),
      grpcCode.NOT_FOUND,
      /no such sandbox/,
    );
    await removePod(fixture.cri, pod);
  });

  test('lists: every running container, and the filters', async () => {
    const a = await runPod(fixture.cri, { labels: { app: 'a' } });
    const b = await runPod(fixture.cri, { labels: { app: 'b' } });
    const image = fixture.image;
    const running = await startContainer(fixture.cri, a, { image, labels: { foo: 'bar' } });
    const other = await startContainer(fixture.cri, b, { image, labels: { foo: 'baz' } });
    await createContainer(fixture.cri, a, { image, metadata: { name: 'created' } });
    const short = await startContainer(fixture.cri, a, {
      image,
      metadata: { name: 'short' },
      command: ['true'],
    });
    await exited(fixture.cri, short);
    type Filter = NonNullable<Parameters<typeof fixture.cri.listContainerStats>[0]>['filter'];
    const ids = (stats: ContainerStats[]) => stats.map(({ attributes }) => attributes!.id).toSorted();
    const listed = async (filter?: Filter) => {
      const request = filter === undefined ? {} : { filter };
      const { stats } = await fixture.cri.listContainerStats(request);
      const streamed = [];
      for await (const { containerStats } of fixture.cri.streamContainerStats(request))
        streamed.push(...containerStats);
      assert.deepEqual(ids(streamed), ids(stats));
      return ids(stats);
    };
    assert.deepEqual(await listed(), [running, other].toSorted());
    assert.deepEqual(await listed({ id: running }), [running]);
    assert.deepEqual(await listed({ id: running.slice(0, 20) }), [running]);
    assert.deepEqual(await listed({ podSandboxId: b.id }), [other]);
    assert.deepEqual(await listed({ labelSelector: { foo: 'bar' } }), [running]);
    assert.deepEqual(await listed({ labelSelector: { foo: 'bar' }, podSandboxId: b.id }), []);
    assert.deepEqual(await listed({ id: short }), []);
    assert.deepEqual(await listed({ id: unknown }), []);
    const pods = async (filter?: { id?: string; labelSelector?: Record<string, string> }) => {
      const request = filter === undefined ? {} : { filter };
      const { stats } = await fixture.cri.listPodSandboxStats(request);
      const streamed = [];
      for await (const { podSandboxStats } of fixture.cri.streamPodSandboxStats(request))
        streamed.push(...podSandboxStats);
      assert.equal(streamed.length, stats.length);
      return stats.map(({ attributes }) => attributes!.id).toSorted();
    };
    assert.deepEqual(await pods(), [a.id, b.id].toSorted());
    assert.deepEqual(await pods({ id: a.id }), [a.id]);
    assert.deepEqual(await pods({ labelSelector: { app: 'b' } }), [b.id]);
    assert.deepEqual(await pods({ id: a.id, labelSelector: { app: 'b' } }), []);
    await fixture.cri.stopPodSandbox({ podSandboxId: a.id });
    assert.deepEqual(await pods(), [b.id]);
    assert.deepEqual(await listed(), [other]);
    for (const pod of [a, b]) await removePod(fixture.cri, pod);
  });

  test('a pod: its own cgroup, processes, the counters of its interfaces, its containers', async () => {
    const labels = { app: 'pod-stats' };
    const pod = await runPod(fixture.cri, { labels });
    const id = await startContainer(fixture.cri, pod, {
      image: fixture.image,
      command: ['sh', '-c', 'trap "exit 0" TERM; httpd -p 8080 -h /var/www; sleep 1000000 & wait'],
    });
    const stats = async () => (await fixture.cri.podSandboxStats({ podSandboxId: pod.id })).stats!;
    const url = `http://${await podIp(fixture.cri, pod)}:8080/`;
    await eventually('the web server', async () => (await fetch(url)).ok);
    const before = await stats();
    assert.equal(before.attributes!.id, pod.id);
    assert.equal(before.attributes!.metadata!.uid, pod.config.metadata!.uid);
    assert.deepEqual({ ...before.attributes!.labels }, labels);
    for (let i = 0; i < 10; i++) await (await fetch(url)).text();
    const { linux } = await stats();
    const [old, now] = [before.linux!.network!.defaultInterface!, linux!.network!.defaultInterface!];
    assert.equal(now.name, 'eth0');
    assert.ok(now.rxBytes!.value - old.rxBytes!.value > 1000n, `${old.rxBytes!.value} ${now.rxBytes!.value}`);
    assert.ok(now.txBytes!.value - old.txBytes!.value > 1000n, `${old.txBytes!.value} ${now.txBytes!.value}`);
    assert.equal(now.rxErrors!.value, 0n);
    assert.deepEqual(linux!.network!.interfaces, []);
    assert.deepEqual(
      linux!.containers.map(({ attributes }) => attributes!.id),
      [id],
    );
    const own = linux!.containers[0]!;
    assert.ok(linux!.memory!.usageBytes!.value >= own.memory!.workingSetBytes!.value);
    assert.ok(linux!.cpu!.usageCoreNanoSeconds!.value >= before.linux!.cpu!.usageCoreNanoSeconds!.value);
    // sh, httpd and sleep, once the connections are closed.
    await eventually('three processes', async () => {
      const process = (await stats()).linux!.process!;
      return process.processCount!.value === 3n;
    });
    await fixture.cri.stopPodSandbox({ podSandboxId: pod.id });
    const stopped = await stats();
    assert.equal(stopped.linux!.network, undefined);
    assert.deepEqual(stopped.linux!.containers, []);
    await removePod(fixture.cri, pod);
  });

  test('a pod on the node’s network has no counters of its own', async () => {
    const securityContext = { namespaceOptions: kubeletNamespaces({ network: NamespaceMode.NODE }) };
    const pod = await runPod(fixture.cri, { linux: { securityContext } });
    await startContainer(fixture.cri, pod, { image: fixture.image, linux: { securityContext } });
    const { stats } = await fixture.cri.podSandboxStats({ podSandboxId: pod.id });
    assert.equal(stats!.linux!.network, undefined);
    assert.ok(stats!.linux!.memory!.usageBytes!.value > 0n);
    await removePod(fixture.cri, pod);
  });

  test('pressure and io where cgroups are of version 2, and nowhere else', async () => {
    const pod = await runPod(fixture.cri);
    const id = await startContainer(fixture.cri, pod, { image: fixture.image });
    const { cpu, memory, io } = await statsOf(id);
    const shown = [cpu!.psi, memory!.psi, io?.psi].map((psi) => psi !== undefined);
    const expected = detectCgroups().version === 2;
    assert.deepEqual(shown, [expected, expected, expected]);
    if (expected) assert.ok(cpu!.psi!.Some!.Total >= cpu!.psi!.Full!.Total);
    await removePod(fixture.cri, pod);
  });

  test('lists go on while containers die and pods are stopped and removed', async () => {
    let isOver = false;
    const churn = (async () => {
      for (let i = 0; i < 6; i++) {
        const pod = await runPod(fixture.cri);
        const id = await startContainer(fixture.cri, pod, { image: fixture.image });
        await fixture.cri.stopContainer({ containerId: id, timeout: 0 });
        await removePod(fixture.cri, pod);
      }
      isOver = true;
    })();
    let asked = 0;
    for (; !isOver; asked++) {
      await Promise.all([
        fixture.cri.listContainerStats(),
        fixture.cri.listPodSandboxStats(),
        fixture.cri.listPodSandboxMetrics(),
      ]);
      await sleep(5);
    }
    await churn;
    assert.ok(asked > 5, `${asked}`);
  });

  test('no process is started and no descriptor kept for stats', async () => {
    const pod = await runPod(fixture.cri);
    await startContainer(fixture.cri, pod, { image: fixture.image });
    const { pid } = fixture.server.program();
    const ask = async () => {
      await fixture.cri.listContainerStats();
      await fixture.cri.listPodSandboxStats();
      await fixture.cri.listPodSandboxMetrics();
    };
    await ask();
    const open = () => readdirSync(`/proc/${pid}/fd`).length;
    const before = open();
    // Those of the tests before: the monitor of this container stays.
    await eventually('the end of earlier children', () => childrenOf(pid).length === 1);
    const children = faultsOfChildren(pid);
    for (let i = 0; i < 50; i++) await ask();
    assert.ok(open() <= before + 2, `${before} descriptors before, ${open()} after`);
    assert.equal(faultsOfChildren(pid), children, 'a child process has come and gone');
    await removePod(fixture.cri, pod);
  });
});

/** Page faults of the children that a process has waited for: any that was there has had some (proc_pid_stat(5)). */
function faultsOfChildren(pid: number): number {
  return Number(statFields(pid)[8]);
}
