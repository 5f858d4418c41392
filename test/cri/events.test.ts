import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type ContainerEventResponse,
  ContainerEventType,
  ContainerState,
  PodSandboxState,
} from '../../packages/runtime/src/gen/api.ts';
import type { Stream } from './support/client.ts';
import { useServer } from './support/fixture.ts';
import {
  createContainer,
  exited,
  kubeletNamespaces,
  NamespaceMode,
  podInfo,
  removePod,
  runPod,
  startContainer,
} from './support/pods.ts';
import { residentBytes } from './support/proc.ts';
import { grpcCode, refuses } from './support/refuses.ts';
import { eventually } from './support/wait.ts';

const names = {
  [ContainerEventType.CONTAINER_CREATED_EVENT]: 'created',
  [ContainerEventType.CONTAINER_STARTED_EVENT]: 'started',
  [ContainerEventType.CONTAINER_STOPPED_EVENT]: 'stopped',
  [ContainerEventType.CONTAINER_DELETED_EVENT]: 'deleted',
};

// containerd 1.6 has no events over CRI.
describe('events with amphipod', () => {
  const fixture = useServer('amphipod');

  test('a pod and its container from beginning to end: in order, each with the statuses of its moment', async () => {
    using events = await listen(fixture.cri.getContainerEvents());
    const pod = await runPod(fixture.cri, { labels: { app: 'events' } });
    const id = await startContainer(fixture.cri, pod, { image: fixture.image });
    await fixture.cri.stopContainer({ containerId: id, timeout: 0 });
    await fixture.cri.removeContainer({ containerId: id });
    await removePod(fixture.cri, pod);
    const seen = await events.until((event) => isOf(event, pod.id, 'deleted'));
    const who = (containerId: string) =>
      containerId === pod.id ? 'pod' : containerId === id ? 'container' : containerId;
    assert.deepEqual(
      seen.map(({ containerId, containerEventType }) => `${who(containerId)} ${names[containerEventType]}`),
      [
        ...['pod created', 'pod started', 'container created', 'container started', 'container stopped'],
        ...['container deleted', 'pod stopped', 'pod deleted'],
      ],
    );
    assert.deepEqual(
      seen.map(({ containersStatuses }) => containersStatuses.map(({ state }) => state)),
      [
        [],
        [],
        [ContainerState.CONTAINER_CREATED],
        [ContainerState.CONTAINER_RUNNING],
        [ContainerState.CONTAINER_EXITED],
        [ContainerState.CONTAINER_EXITED],
        [],
        [],
      ],
    );
    assert.deepEqual(
      seen.map(({ podSandboxStatus }) => podSandboxStatus!.state),
      [
        ...Array.from({ length: 6 }, () => PodSandboxState.SANDBOX_READY),
        PodSandboxState.SANDBOX_NOTREADY,
        PodSandboxState.SANDBOX_NOTREADY,
      ],
    );
    const stopped = seen[4]!.containersStatuses[0]!;
    assert.deepEqual([stopped.reason, stopped.exitCode], ['Error', 137]);
    assert.ok(stopped.finishedAt > 0n);
    assert.ok(
      seen.every(({ podSandboxStatus }) => podSandboxStatus!.metadata!.uid === pod.config.metadata!.uid),
    );
    const times = seen.map(({ createdAt }) => createdAt);
    assert.deepEqual(
      times.toSorted((a, b) => (a < b ? -1 : 1)),
      times,
    );
    assert.ok(times[0]! > 1_700_000_000_000_000_000n, 'nanoseconds since 1970');
  });

  test('what nobody asked for: an end by itself, a start that fails, an init that is killed', async () => {
    using events = await listen(fixture.cri.getContainerEvents());
    const securityContext = { namespaceOptions: kubeletNamespaces({ pid: NamespaceMode.POD }) };
    const pod = await runPod(fixture.cri, { linux: { securityContext } });
    const image = fixture.image;
    const short = await startContainer(fixture.cri, pod, { image, command: ['sh', '-c', 'exit 7'] });
    const stopped = await events.until((event) => isOf(event, short, 'stopped'));
    assert.deepEqual(ofOne(stopped, short), ['created', 'started', 'stopped']);
    assert.equal(stopped.at(-1)!.containersStatuses[0]!.exitCode, 7);

    const broken = await createContainer(fixture.cri, pod, {
      image,
      metadata: { name: 'broken' },
      command: ['/missing'],
    });
    await assert.rejects(fixture.cri.startContainer({ containerId: broken }));
    const failed = await events.until((event) => isOf(event, broken, 'stopped'));
    assert.deepEqual(ofOne(failed, broken), ['created', 'stopped']);
    const status = failed.at(-1)!.containersStatuses.find(({ id }) => id === broken)!;
    assert.deepEqual([status.state, status.reason], [ContainerState.CONTAINER_EXITED, 'StartError']);

    process.kill((await podInfo(fixture.cri, pod.id)).pid, 'SIGKILL');
    const dead = await events.until((event) => isOf(event, pod.id, 'stopped'));
    assert.equal(dead.at(-1)!.podSandboxStatus!.state, PodSandboxState.SANDBOX_NOTREADY);
    await removePod(fixture.cri, pod);
    const all = await events.until((event) => isOf(event, pod.id, 'deleted'));
    assert.deepEqual(ofOne(all, pod.id), ['created', 'started', 'stopped', 'deleted'], 'stopped once');
    assert.deepEqual(ofOne(all, short).at(-1), 'deleted');
  });

  test('several clients get the same; one that comes later gets only what comes later', async () => {
    using first = await listen(fixture.cri.getContainerEvents());
    using second = await listen(fixture.cri.getContainerEvents());
    const pods = await Promise.all(Array.from({ length: 4 }, () => runPod(fixture.cri)));
    using late = await listen(fixture.cri.getContainerEvents());
    await Promise.all(pods.map((pod) => removePod(fixture.cri, pod)));
    const areGone = (events: ContainerEventResponse[]) =>
      pods.every((pod) => events.some((event) => isOf(event, pod.id, 'deleted')));
    const all = await Promise.all([first, second, late].map((one) => one.all(areGone)));
    const shape = (events: ContainerEventResponse[]) =>
      events.map(({ containerId, containerEventType, createdAt }) => [
        containerId,
        containerEventType,
        createdAt,
      ]);
    assert.deepEqual(shape(all[1]!), shape(all[0]!));
    assert.equal(all[0]!.length, 16);
    for (const pod of pods) assert.deepEqual(ofOne(all[2]!, pod.id), ['stopped', 'deleted']);
  });

  test('a client that does not read holds nothing up, is not fed for ever, and is told', {
    timeout: 120_000,
  }, async () => {
    using reading = await listen(fixture.cri.getContainerEvents());
    const stuck = fixture.cri.getContainerEvents();
    await stuck.open;
    const pod = await runPod(fixture.cri, { annotations: { long: 'x'.repeat(20_000) } });
    // One message: before it this client takes in whatever comes.
    const iterator = stuck[Symbol.asyncIterator]();
    const received = [(await iterator.next()).value as ContainerEventResponse];
    const memoryBefore = residentBytes(fixture.server.program().pid);
    // More than the 1,024 that may wait and what the buffers on the way take.
    const [workers, rounds] = [8, 80];
    const work = async (worker: number) => {
      for (let i = 0; i < rounds; i++) {
        const metadata = { name: `c${worker}`, attempt: i };
        const containerId = await createContainer(fixture.cri, pod, { image: fixture.image, metadata });
        await fixture.cri.removeContainer({ containerId });
      }
    };
    await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));
    await removePod(fixture.cri, pod);
    const seen = await reading.until((event) => isOf(event, pod.id, 'deleted'));
    assert.equal(seen.length, 2 * workers * rounds + 4);
    const grownMiB = (residentBytes(fixture.server.program().pid) - memoryBefore) / 2 ** 20;
    assert.ok(grownMiB < 300, `the daemon grew by ${grownMiB} MiB`);
    await refuses(
      (async () => {
        for (let next = await iterator.next(); !next.done; next = await iterator.next())
          received.push(next.value);
      })(),
      grpcCode.RESOURCE_EXHAUSTED,
      /1024 events behind; list anew/,
    );
    const ids = (events: ContainerEventResponse[]) =>
      events.map(({ containerId, containerEventType }) => [containerId, containerEventType]);
    assert.ok(received.length > 1024);
    assert.deepEqual(ids(received), ids(seen.slice(0, received.length)), 'without a gap until then');
  });

  test('the daemon stops at once with clients listening, and their streams end', async () => {
    const stream = fixture.cri.getContainerEvents();
    await stream.open;
    const ended = (async () => {
      const events = [];
      for await (const event of stream) events.push(event);
      return events;
    })();
    await fixture.server.kill('SIGTERM');
    assert.deepEqual(await ended, []);
    await fixture.server.start();
    using events = await listen(fixture.cri.getContainerEvents());
    const pod = await runPod(fixture.cri);
    await removePod(fixture.cri, pod);
    const seen = await events.until((event) => isOf(event, pod.id, 'deleted'));
    assert.deepEqual(ofOne(seen, pod.id), ['created', 'started', 'stopped', 'deleted']);
  });

  test('a client that goes away is forgotten', async () => {
    const streams = Array.from({ length: 20 }, () => fixture.cri.getContainerEvents());
    for (const stream of streams) await stream.open;
    for (const stream of streams) {
      stream.cancel();
      await refuses(
        (async () => {
          for await (const event of stream) assert.fail(`an event: ${event.containerId}`);
        })(),
        grpcCode.CANCELLED,
        /Cancelled/,
      );
    }
    const pod = await runPod(fixture.cri);
    const id = await startContainer(fixture.cri, pod, { image: fixture.image, command: ['true'] });
    await exited(fixture.cri, id);
    await removePod(fixture.cri, pod);
  });
});

/** Collects the events of a stream that the server has opened. */
async function listen(stream: Stream<ContainerEventResponse>) {
  await stream.open;
  const events: ContainerEventResponse[] = [];
  let failure: unknown;
  void (async () => {
    try {
      for await (const event of stream) events.push(event);
    } catch (error) {
      failure = error;
    }
  })();
  const all = (isEnough: (events: ContainerEventResponse[]) => boolean) =>
    eventually('events', () => {
      if (failure !== undefined) throw failure;
      return isEnough(events) && [...events];
    });
  return {
    all,
    /** All events so far once one of them is this. */
    until: (isLast: (event: ContainerEventResponse) => boolean) => all((seen) => seen.some(isLast)),
    [Symbol.dispose]: () => stream.cancel(),
  };
}

function isOf(
  { containerId, containerEventType }: ContainerEventResponse,
  id: string,
  name: string,
): boolean {
  return containerId === id && names[containerEventType] === name;
}

function ofOne(events: ContainerEventResponse[], id: string): string[] {
  return events.flatMap((event) => (event.containerId === id ? [names[event.containerEventType]] : []));
}
