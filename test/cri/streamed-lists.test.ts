import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ContainerState, PodSandboxState } from '../../packages/runtime/src/gen/api.ts';
import type { Stream } from './support/client.ts';
import { useServer } from './support/fixture.ts';
import { createContainer, exited, removePod, runPod, startContainer } from './support/pods.ts';

// containerd 1.6 is older than these RPCs.
describe('lists in parts with amphipod', () => {
  const fixture = useServer('amphipod');
  type Cri = typeof fixture.cri;
  const collect = async <R, T>(stream: Stream<R>, itemsOf: (message: R) => T[]) => {
    const parts: T[][] = [];
    for await (const message of stream) parts.push(itemsOf(message));
    return parts;
  };
  const pods = (request?: Parameters<Cri['streamPodSandboxes']>[0]) =>
    collect(fixture.cri.streamPodSandboxes(request), ({ podSandboxes }) => podSandboxes);
  const containers = (request?: Parameters<Cri['streamContainers']>[0]) =>
    collect(fixture.cri.streamContainers(request), (message) => message.containers);
  const images = (request?: Parameters<Cri['streamImages']>[0]) =>
    collect(fixture.cri.streamImages(request), (message) => message.images);

  test('nothing: no message, and an end', async () => {
    assert.deepEqual(await pods(), []);
    assert.deepEqual(await containers(), []);
    assert.deepEqual(await images({ filter: { image: { image: 'localhost/no-such-image:v1' } } }), []);
  });

  test('many: each item once, in parts, the same as the list has', { timeout: 120_000 }, async () => {
    const pod = await runPod(fixture.cri, { labels: { app: 'many' }, annotations: { note: 'größer' } });
    for (let attempt = 0; attempt < 230; attempt++) {
      const labels = { half: attempt % 2 === 0 ? 'even' : 'odd' };
      await createContainer(fixture.cri, pod, { image: fixture.image, metadata: { attempt }, labels });
    }
    const parts = await containers();
    assert.deepEqual(
      parts.map(({ length }) => length),
      [100, 100, 30],
    );
    assert.deepEqual(parts.flat(), (await fixture.cri.listContainers()).containers);
    const filter = { labelSelector: { half: 'odd' }, podSandboxId: pod.id };
    const odd = (await containers({ filter })).flat();
    assert.equal(odd.length, 115);
    assert.deepEqual(odd, (await fixture.cri.listContainers({ filter })).containers);
    assert.deepEqual(
      await containers({ filter: { state: { state: ContainerState.CONTAINER_RUNNING } } }),
      [],
    );
    assert.deepEqual((await pods()).flat(), (await fixture.cri.listPodSandbox()).items);
    assert.deepEqual((await images()).flat(), (await fixture.cri.listImages()).images);
    await removePod(fixture.cri, pod);
  });

  test('lists show every change at once: states, new pods, removed ones', async () => {
    const one = await runPod(fixture.cri);
    const id = await startContainer(fixture.cri, one, {
      image: fixture.image,
      command: ['sh', '-c', 'exit 0'],
    });
    await exited(fixture.cri, id);
    const listed = async () => {
      const [sandboxes, listedContainers] = [
        await fixture.cri.listPodSandbox(),
        await fixture.cri.listContainers(),
      ];
      assert.deepEqual((await pods()).flat(), sandboxes.items);
      assert.deepEqual((await containers()).flat(), listedContainers.containers);
      return [
        sandboxes.items.map(({ id: podId, state }) => [podId, state]),
        listedContainers.containers.map(({ state }) => state),
      ];
    };
    const [ready, notReady] = [PodSandboxState.SANDBOX_READY, PodSandboxState.SANDBOX_NOTREADY];
    assert.deepEqual(await listed(), [[[one.id, ready]], [ContainerState.CONTAINER_EXITED]]);
    const two = await runPod(fixture.cri);
    await fixture.cri.stopPodSandbox({ podSandboxId: one.id });
    assert.deepEqual(await listed(), [
      [
        [one.id, notReady],
        [two.id, ready],
      ],
      [ContainerState.CONTAINER_EXITED],
    ]);
    await fixture.cri.removeContainer({ containerId: id });
    assert.deepEqual(await listed(), [
      [
        [one.id, notReady],
        [two.id, ready],
      ],
      [],
    ]);
    await removePod(fixture.cri, one);
    assert.deepEqual(await listed(), [[[two.id, ready]], []]);
    await removePod(fixture.cri, two);
    assert.deepEqual(await listed(), [[], []]);
  });
});
