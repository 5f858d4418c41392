import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { ContainerState, PodSandboxState, Signal } from '../../packages/runtime/src/gen/api.ts';
import { subjects, useServer } from './support/fixture.ts';
import {
  createContainer,
  execText,
  exited,
  kubeletNamespaces,
  NamespaceMode,
  removePod,
  runPod,
  sandboxConfig,
  startContainer,
} from './support/pods.ts';
import { buildBusyboxImage } from './support/test-images.ts';

const unknownId = 'f'.repeat(64);
const notFound = { code: 5 };

for (const subject of subjects) {
  describe(`life of a container with ${subject}`, () => {
    const fixture = useServer(subject);
    const startShell = async (
      script: string,
      pid: NamespaceMode = NamespaceMode.CONTAINER,
      more: object = {},
    ) => {
      const securityContext = { namespaceOptions: kubeletNamespaces({ pid }) };
      const pod = await runPod(fixture.cri, { linux: { securityContext } });
      const command = ['sh', '-c', script];
      const id = await startContainer(fixture.cri, pod, {
        image: fixture.image,
        command,
        linux: { securityContext },
        ...more,
      });
      return { pod, id };
    };
    /** Waits until the container's script has set its traps and made /ready: before, PID 1 is deaf to signals. */
    const ready = (id: string) =>
      execText(fixture.cri, id, ['sh', '-c', 'until [ -e /ready ]; do usleep 10000; done']);
    const stop = async (containerId: string, timeout: number) => {
      const start = performance.now();
      await fixture.cri.stopContainer({ containerId, timeout });
      return performance.now() - start;
    };

    const ends = [
      { script: 'exit 0', exitCode: 0, reason: 'Completed' },
      { script: 'exit 3', exitCode: 3, reason: 'Error' },
      { script: 'kill -9 $$', exitCode: 137, reason: 'Error' },
      { script: 'kill -15 $$', exitCode: 143, reason: 'Error' },
    ];
    for (const { script, exitCode, reason } of ends) {
      test(`${script}: exit code ${exitCode}, reason ${reason}, times in order`, async () => {
        const before = BigInt(Date.now()) * 1_000_000n;
        // containerd 1.6 may say that a short container ended before it started.
        const pause = subject === 'containerd' ? 'sleep 0.2; ' : '';
        const { pod, id } = await startShell(`${pause}${script}`, NamespaceMode.POD);
        const status = await exited(fixture.cri, id);
        assert.deepEqual([status.exitCode, status.reason], [exitCode, reason]);
        const times = [
          before,
          status.createdAt,
          status.startedAt,
          status.finishedAt,
          BigInt(Date.now() + 1) * 1_000_000n,
        ];
        assert.deepEqual(
          times,
          times.toSorted((a, b) => (a < b ? -1 : 1)),
        );
        await removePod(fixture.cri, pod);
      });
    }

    test('more memory than the limit: OOMKilled, 137', async () => {
      const resources = { memoryLimitInBytes: 15n << 20n, memorySwapLimitInBytes: 15n << 20n };
      const { pod, id } = await startShell('dd if=/dev/zero of=/dev/null bs=20M', NamespaceMode.CONTAINER, {
        command: ['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=20M'],
        linux: { resources },
      });
      const status = await exited(fixture.cri, id);
      assert.deepEqual([status.exitCode, status.reason], [137, 'OOMKilled']);
      await removePod(fixture.cri, pod);
    });

    test('states and times from created to exited', async () => {
      const pod = await runPod(fixture.cri);
      const id = await createContainer(fixture.cri, pod, { image: fixture.image });
      const status = async () => (await fixture.cri.containerStatus({ containerId: id })).status!;
      const created = await status();
      assert.deepEqual(
        [created.state, created.startedAt, created.finishedAt],
        [ContainerState.CONTAINER_CREATED, 0n, 0n],
      );
      await fixture.cri.startContainer({ containerId: id });
      const running = await status();
      assert.deepEqual([running.state, running.finishedAt], [ContainerState.CONTAINER_RUNNING, 0n]);
      assert.ok(running.startedAt >= running.createdAt);
      await stop(id, 10);
      const ended = await status();
      assert.deepEqual([ended.state, ended.startedAt], [ContainerState.CONTAINER_EXITED, running.startedAt]);
      assert.ok(ended.finishedAt > ended.startedAt);
      await assert.rejects(fixture.cri.startContainer({ containerId: id }), /exited|EXITED/i);
      await removePod(fixture.cri, pod);
    });

    test('StopContainer: TERM, then KILL after the grace, at once with 0', async () => {
      const deaf = 'trap "" TERM; touch /ready; sleep 1000000 & wait; sleep 1000000';
      const willing = await startShell('trap "exit 9" TERM; touch /ready; sleep 1000000 & wait');
      await ready(willing.id);
      assert.ok((await stop(willing.id, 20)) < 3000);
      assert.equal((await exited(fixture.cri, willing.id)).exitCode, 9);
      const grace = await startShell(deaf);
      await ready(grace.id);
      const ms = await stop(grace.id, 1);
      assert.ok(ms >= 950 && ms < 4000, `${ms} ms`);
      assert.equal((await exited(fixture.cri, grace.id)).exitCode, 137);
      const none = await startShell(deaf);
      assert.ok((await stop(none.id, 0)) < 900);
      assert.equal((await exited(fixture.cri, none.id)).exitCode, 137);
      for (const { pod } of [willing, grace, none]) await removePod(fixture.cri, pod);
    });

    test('the image’s stop signal, and the container’s before it', async () => {
      const image = buildBusyboxImage(`${fixture.dir}/usr1`, {
        name: 'localhost/amphipod-test/usr1:v1',
        config: { StopSignal: 'SIGUSR1', Cmd: ['sh'] },
      });
      await fixture.server.loadImage(image.dir, image.name);
      const script =
        'trap "exit 11" USR1; trap "exit 12" USR2; trap "exit 15" TERM; touch /ready; sleep 1000000 & wait';
      const byImage = await startShell(script, NamespaceMode.CONTAINER, { image });
      await ready(byImage.id);
      await stop(byImage.id, 10);
      assert.equal((await exited(fixture.cri, byImage.id)).exitCode, 11);
      await removePod(fixture.cri, byImage.pod);
      if (subject === 'containerd') return; // 1.6 is older than ContainerConfig.stop_signal.
      const byContainer = await startShell(script, NamespaceMode.CONTAINER, {
        image,
        stopSignal: Signal.SIGNAL_SIGUSR2,
      });
      const { status } = await fixture.cri.containerStatus({ containerId: byContainer.id });
      assert.equal(status?.stopSignal, Signal.SIGNAL_SIGUSR2);
      await ready(byContainer.id);
      await stop(byContainer.id, 10);
      assert.equal((await exited(fixture.cri, byContainer.id)).exitCode, 12);
      await removePod(fixture.cri, byContainer.pod);
    });

    test('everything may be asked twice', async () => {
      const { pod, id } = await startShell('sleep 1000000');
      for (let i = 0; i < 2; i++) await fixture.cri.stopContainer({ containerId: id, timeout: 0 });
      for (let i = 0; i < 2; i++) await fixture.cri.removeContainer({ containerId: id });
      for (let i = 0; i < 2; i++) await fixture.cri.stopPodSandbox({ podSandboxId: pod.id });
      const { status } = await fixture.cri.podSandboxStatus({ podSandboxId: pod.id });
      assert.equal(status?.state, PodSandboxState.SANDBOX_NOTREADY);
      for (let i = 0; i < 2; i++) await fixture.cri.removePodSandbox({ podSandboxId: pod.id });
      await fixture.cri.removeContainer({ containerId: unknownId });
      await fixture.cri.removePodSandbox({ podSandboxId: unknownId });
      await fixture.cri.removeImage({ image: { image: '0'.repeat(64) } });
      await assert.rejects(fixture.cri.podSandboxStatus({ podSandboxId: pod.id }), notFound);
      await assert.rejects(fixture.cri.containerStatus({ containerId: id }), notFound);
      if (subject === 'containerd') return; // 1.6 answers NOT_FOUND to these two; the API says no error.
      await fixture.cri.stopContainer({ containerId: unknownId, timeout: 0 });
      await fixture.cri.stopPodSandbox({ podSandboxId: unknownId });
    });

    test('a running container is removed, a running pod is stopped and removed', async () => {
      const { pod, id } = await startShell('trap "" TERM; sleep 1000000');
      const containers = async () =>
        (await fixture.cri.listContainers({ filter: { podSandboxId: pod.id } })).containers.length;
      await fixture.cri.removeContainer({ containerId: id });
      assert.equal(await containers(), 0);
      await startContainer(fixture.cri, pod, { image: fixture.image });
      assert.equal(await containers(), 1);
      await fixture.cri.removePodSandbox({ podSandboxId: pod.id });
      assert.equal(await containers(), 0);
      assert.deepEqual((await fixture.cri.listPodSandbox({ filter: { id: pod.id } })).items, []);
    });

    test('stopping a pod ends its containers with their true codes', async () => {
      const { pod, id } = await startShell('trap "" TERM; sleep 1000000 & wait; sleep 1000000');
      await fixture.cri.stopPodSandbox({ podSandboxId: pod.id });
      assert.equal((await exited(fixture.cri, id)).exitCode, 137);
      await removePod(fixture.cri, pod);
    });

    test('a pod name is free again after removal, also for the same attempt', async () => {
      const config = sandboxConfig({ metadata: { name: 'again', uid: randomUUID(), attempt: 1 } });
      for (let i = 0; i < 3; i++) {
        const { podSandboxId } = await fixture.cri.runPodSandbox({ config });
        await assert.rejects(fixture.cri.runPodSandbox({ config }), /reserve/);
        await removePod(fixture.cri, { id: podSandboxId, config });
      }
    });

    test('a container that ended leaves the pod running for the next attempt', async () => {
      const { pod, id } = await startShell('exit 1');
      await exited(fixture.cri, id);
      const again = await startContainer(fixture.cri, pod, {
        image: fixture.image,
        metadata: { name: 'main', attempt: 1 },
      });
      assert.equal(await execText(fixture.cri, again, ['echo', 'lives']), 'lives\n');
      await removePod(fixture.cri, pod);
    });
  });
}
