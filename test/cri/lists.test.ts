import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ContainerState, PodSandboxState } from '../../packages/runtime/src/gen/api.ts';
import type { Cri } from './support/client.ts';
import { subjects, useServer } from './support/fixture.ts';
import { createContainer, removePod, runPod, startContainer } from './support/pods.ts';

const ready = PodSandboxState.SANDBOX_READY;
const notReady = PodSandboxState.SANDBOX_NOTREADY;

for (const subject of subjects) {
  describe(`lists and what is kept with ${subject}`, () => {
    const fixture = useServer(subject);

    test('labels, annotations and metadata come back byte by byte', async () => {
      const labels = { 'io.kubernetes.pod.name': 'x', empty: '', 'weird.example/key_1': 'größer → "quoted"' };
      const annotations = {
        json: '{"a": [1, 2],\n "b": "\\u0000"}',
        long: 'x'.repeat(100_000),
        'io.kubernetes.container.hash': '1a2b3c',
        spaces: '  kept\t',
      };
      const metadata = { name: 'kept', namespace: 'space', attempt: 4_000_000_000 };
      const pod = await runPod(fixture.cri, { metadata, labels, annotations });
      const containerId = await createContainer(fixture.cri, pod, {
        image: fixture.image,
        metadata: { name: 'c', attempt: 7 },
        labels,
        annotations,
      });
      const sandbox = (await fixture.cri.podSandboxStatus({ podSandboxId: pod.id })).status!;
      const container = (await fixture.cri.containerStatus({ containerId })).status!;
      const listed = {
        pod: (await fixture.cri.listPodSandbox({ filter: { id: pod.id } })).items,
        container: (await fixture.cri.listContainers({ filter: { id: containerId } })).containers,
      };
      assert.deepEqual([listed.pod.length, listed.container.length], [1, 1]);
      for (const shown of [sandbox, container, listed.pod[0]!, listed.container[0]!]) {
        assert.deepEqual({ ...shown.labels }, labels);
        assert.deepEqual({ ...shown.annotations }, annotations);
      }
      const { uid } = pod.config.metadata!;
      for (const shown of [sandbox, listed.pod[0]!]) assert.deepEqual(shown.metadata, { ...metadata, uid });
      for (const shown of [container, listed.container[0]!])
        assert.deepEqual(shown.metadata, { name: 'c', attempt: 7 });
      assert.equal(listed.container[0]!.podSandboxId, pod.id);
      assert.equal(listed.container[0]!.createdAt, container.createdAt);
      assert.equal(container.image?.image, fixture.image.name);
      await removePod(fixture.cri, pod);
    });

    test('filters: nothing, id, prefix of an id, state, labels, pod, and all together', async () => {
      const a = await runPod(fixture.cri, { labels: { app: 'a', tier: 'front' } });
      const b = await runPod(fixture.cri, { labels: { app: 'b', tier: 'front' } });
      const ca = await startContainer(fixture.cri, a, { image: fixture.image, labels: { app: 'a' } });
      const cb = await createContainer(fixture.cri, b, { image: fixture.image, labels: { app: 'b' } });
      await fixture.cri.stopPodSandbox({ podSandboxId: a.id });
      const pods = podIds.bind(undefined, fixture.cri);
      assert.deepEqual(await pods(undefined), [a.id, b.id].toSorted());
      assert.deepEqual(await pods({ id: a.id }), [a.id]);
      assert.deepEqual(await pods({ id: a.id.slice(0, 20) }), [a.id]);
      assert.deepEqual(await pods({ id: 'f'.repeat(64) }), []);
      assert.deepEqual(await pods({ state: { state: ready } }), [b.id]);
      assert.deepEqual(await pods({ state: { state: notReady } }), [a.id]);
      assert.deepEqual(await pods({ labelSelector: { tier: 'front' } }), [a.id, b.id].toSorted());
      assert.deepEqual(await pods({ labelSelector: { tier: 'front', app: 'b' } }), [b.id]);
      assert.deepEqual(await pods({ labelSelector: { tier: 'back' } }), []);
      assert.deepEqual(await pods({ id: a.id, state: { state: ready } }), []);
      const containers = containerIds.bind(undefined, fixture.cri);
      assert.deepEqual(await containers(undefined), [ca, cb].toSorted());
      assert.deepEqual(await containers({ podSandboxId: a.id }), [ca]);
      assert.deepEqual(await containers({ state: { state: ContainerState.CONTAINER_CREATED } }), [cb]);
      assert.deepEqual(await containers({ state: { state: ContainerState.CONTAINER_EXITED } }), [ca]);
      assert.deepEqual(await containers({ labelSelector: { app: 'b' } }), [cb]);
      assert.deepEqual(await containers({ id: ca.slice(0, 20) }), [ca]);
      assert.deepEqual(await containers({ podSandboxId: a.id, labelSelector: { app: 'b' } }), []);
      await removePod(fixture.cri, a);
      await removePod(fixture.cri, b);
    });

    test('verbose status has info, plain status none', async () => {
      const pod = await runPod(fixture.cri);
      const containerId = await startContainer(fixture.cri, pod, { image: fixture.image });
      const plain = await fixture.cri.containerStatus({ containerId });
      assert.deepEqual({ ...plain.info }, {});
      const verbose = await fixture.cri.containerStatus({ containerId, verbose: true });
      const { pid, sandboxID } = JSON.parse(verbose.info.info!) as { pid: number; sandboxID: string };
      assert.ok(pid > 1);
      assert.equal(sandboxID, pod.id);
      const sandbox = await fixture.cri.podSandboxStatus({ podSandboxId: pod.id, verbose: true });
      assert.ok(Object.keys(sandbox.info).length > 0);
      await removePod(fixture.cri, pod);
    });

    test('Version, Status and ImageFsInfo as the kubelet needs them', async () => {
      const version = await fixture.cri.version({ version: '0.1.0' });
      assert.deepEqual(
        [version.version, version.runtimeName, version.runtimeApiVersion],
        ['0.1.0', subject, 'v1'],
      );
      assert.match(version.runtimeVersion, /^\d+\.\d+\.\d+/);
      const { status } = await fixture.cri.status();
      for (const type of ['RuntimeReady', 'NetworkReady']) {
        assert.equal(status?.conditions.find((condition) => condition.type === type)?.status, true, type);
      }
      const { imageFilesystems } = await fixture.cri.imageFsInfo();
      assert.equal(imageFilesystems.length, 1);
      assert.ok(imageFilesystems[0]!.fsId!.mountpoint.startsWith('/'));
      if (subject !== 'containerd') assert.ok(imageFilesystems[0]!.usedBytes!.value > 1_000_000n); // containerd counts every 10 s
      await fixture.cri.updateRuntimeConfig({
        runtimeConfig: { networkConfig: { podCidr: '10.201.0.0/24' } },
      });
    });

    test('RPCs that are not there answer UNIMPLEMENTED', async () => {
      await assert.rejects(fixture.cri.checkpointPod({ podSandboxId: 'x', outputPath: '/nowhere' }), {
        code: 12,
      });
    });
  });
}

async function podIds(cri: Cri, filter: NonNullable<Parameters<Cri['listPodSandbox']>[0]>['filter']) {
  const { items } = await cri.listPodSandbox(filter ? { filter } : {});
  return items.map(({ id }) => id).toSorted();
}

async function containerIds(cri: Cri, filter: NonNullable<Parameters<Cri['listContainers']>[0]>['filter']) {
  const { containers } = await cri.listContainers(filter ? { filter } : {});
  return containers.map(({ id }) => id).toSorted();
}
