import { randomUUID } from 'node:crypto';
import {
  containerConfig,
  kubeletNamespaces,
  NamespaceMode,
  type Pod,
  sandboxConfig,
} from '../../test/cri/support/pods.ts';
import { hundredPods, restartedWith500, twoThousandCycles } from './cri-endurance.ts';
import { fiveHundredListed, polled } from './cri-poll.ts';
import type { Subject } from './cri-subjects.ts';
import { inParallel } from './in-parallel.ts';
import { processesOf, pssMiB } from './memory.ts';
import { type Samples, timed } from './samples.ts';

interface RunningPod extends Pod {
  containerId: string;
}

export interface Phase {
  /** Rows that it fills. */
  rows: string[];
  run(subjects: Subject[], samples: Samples, count: number): Promise<void>;
}

/** The measurements, in the order in which they run. */
export const phases: Phase[] = [
  {
    rows: [
      ...['RunPodSandbox', 'CreateContainer', 'StartContainer', 'podUp', 'ExecSync', 'StopContainer'],
      ...['StopPodSandbox', 'RemoveContainer', 'RemovePodSandbox'],
    ],
    run: (subjects, samples, count) => lifecycles(subjects, samples, { count, pid: NamespaceMode.CONTAINER }),
  },
  {
    rows: ['RunPodSandboxPidPod', 'podUpPidPod', 'StopPodSandboxPidPod'],
    run: (subjects, samples, count) =>
      lifecycles(subjects, samples, { count: Math.ceil(count / 3), pid: NamespaceMode.POD }),
  },
  { rows: ['podsPerSecond8', 'podUp8', 'podDown8'], run: eightAtATime },
  {
    rows: [
      ...['pssIdle30', 'pssDaemonIdle30', 'pssContainersIdle30'],
      ...['PodSandboxStatus', 'ContainerStatus', 'ListPodSandbox', 'ListContainers'],
    ],
    run: thirtyIdle,
  },
  { rows: ['ListPodSandbox500', 'ListContainers500'], run: fiveHundredListed },
  {
    rows: ['pollCpu250', 'ListContainerStats250', 'ListPodSandboxStats250', 'ListPodSandboxMetrics250'],
    run: polled,
  },
  { rows: ['startWith500'], run: restartedWith500 },
  { rows: ['rssDaemon100'], run: (subjects, samples) => hundredPods(subjects, samples, podCycle) },
  {
    rows: ['rssDaemonCycles200', 'rssDaemonCycles2200'],
    run: (subjects, samples) => twoThousandCycles(subjects, samples, podCycle),
  },
];

const podCycle = { up: (subject: Subject) => podUp(subject), down: podDown };

/** One pod after the other through its whole life, the subjects in turn, each first every other time. */
async function lifecycles(
  subjects: Subject[],
  samples: Samples,
  { count, pid }: { count: number; pid: NamespaceMode },
): Promise<void> {
  const warmUps = 3;
  for (let i = -warmUps; i < count; i++) {
    for (const subject of i % 2 === 0 ? subjects : subjects.toReversed()) {
      const timings = await lifecycle(subject, pid);
      if (i < 0) continue;
      const suffix = pid === NamespaceMode.POD ? 'PidPod' : '';
      for (const [name, ms] of Object.entries(timings)) samples.add(`${name}${suffix}`, subject.side, ms);
    }
  }
}

async function lifecycle(subject: Subject, pid: NamespaceMode): Promise<Record<string, number>> {
  const { cri } = subject.server;
  const { timings, containerId, id } = await podUp(subject, pid);
  const measure = async (name: string, work: () => Promise<unknown>) => {
    timings[name] = (await timed(work)).ms;
  };
  await measure('ExecSync', () => cri.execSync({ containerId, cmd: ['true'], timeout: 10 }));
  await measure('StopContainer', () => cri.stopContainer({ containerId, timeout: 30 }));
  await measure('StopPodSandbox', () => cri.stopPodSandbox({ podSandboxId: id }));
  await measure('RemoveContainer', () => cri.removeContainer({ containerId }));
  await measure('RemovePodSandbox', () => cri.removePodSandbox({ podSandboxId: id }));
  return timings;
}

async function podUp(
  subject: Subject,
  pid: NamespaceMode = NamespaceMode.CONTAINER,
): Promise<RunningPod & { timings: Record<string, number> }> {
  const { cri } = subject.server;
  const uid = randomUUID();
  const securityContext = { namespaceOptions: kubeletNamespaces({ pid }) };
  const config = sandboxConfig({
    metadata: { uid },
    linux: { cgroupParent: `${subject.cgroup}/pod${uid}`, securityContext },
  });
  const container = containerConfig(subject.image, { linux: { securityContext } });
  const sandbox = await timed(() => cri.runPodSandbox({ config }));
  const id = sandbox.value.podSandboxId;
  const create = await timed(() =>
    cri.createContainer({ podSandboxId: id, config: container, sandboxConfig: config }),
  );
  const { containerId } = create.value;
  const start = await timed(() => cri.startContainer({ containerId }));
  const timings = {
    RunPodSandbox: sandbox.ms,
    CreateContainer: create.ms,
    StartContainer: start.ms,
    podUp: sandbox.ms + create.ms + start.ms,
  };
  return { id, config, containerId, timings };
}

async function podDown({ server: { cri } }: Subject, pod: RunningPod): Promise<void> {
  await cri.stopContainer({ containerId: pod.containerId, timeout: 30 });
  await cri.stopPodSandbox({ podSandboxId: pod.id });
  await cri.removeContainer({ containerId: pod.containerId });
  await cri.removePodSandbox({ podSandboxId: pod.id });
}

/** Rounds of 24 pods, 8 being made at any time; then 8 being taken down at any time. */
async function eightAtATime(subjects: Subject[], samples: Samples): Promise<void> {
  for (let round = 0; round < 3; round++) {
    for (const subject of round % 2 === 0 ? subjects : subjects.toReversed()) {
      const up = await timed(() => inParallel(8, Array.from({ length: 24 }), () => podUp(subject)));
      samples.add('podsPerSecond8', subject.side, 24 / (up.ms / 1000), 'pods/s');
      for (const pod of up.value) samples.add('podUp8', subject.side, pod.timings.podUp!);
      await inParallel(8, up.value, async (pod) => {
        samples.add('podDown8', subject.side, (await timed(() => podDown(subject, pod))).ms);
      });
    }
  }
}

/** Memory, status and list calls while each subject runs 30 pods that do nothing. */
async function thirtyIdle(subjects: Subject[], samples: Samples, count: number): Promise<void> {
  const pods = new Map<Subject, RunningPod[]>();
  for (const subject of subjects) {
    pods.set(subject, await inParallel(2, Array.from({ length: 30 }), () => podUp(subject)));
  }
  // The daemons let go of what making 30 pods took.
  await new Promise((resolve) => setTimeout(resolve, 5000));
  for (const subject of subjects) {
    const containers = subject.containerPids();
    const helpers = processesOf(subject.helperPids(), containers);
    samples.add('pssIdle30', subject.side, pssMiB(helpers), 'MiB');
    samples.add('pssDaemonIdle30', subject.side, pssMiB([subject.server.program().pid]), 'MiB');
    samples.add('pssContainersIdle30', subject.side, pssMiB(containers), 'MiB');
  }
  for (let i = 0; i < count * 3; i++) {
    for (const subject of i % 2 === 0 ? subjects : subjects.toReversed()) {
      const { cri } = subject.server;
      const { id, containerId } = pods.get(subject)![i % 30]!;
      const measure = async (name: string, work: () => Promise<unknown>) =>
        samples.add(name, subject.side, (await timed(work)).ms);
      await measure('PodSandboxStatus', () => cri.podSandboxStatus({ podSandboxId: id }));
      await measure('ContainerStatus', () => cri.containerStatus({ containerId }));
      await measure('ListPodSandbox', () => cri.listPodSandbox());
      await measure('ListContainers', () => cri.listContainers());
    }
  }
  for (const subject of subjects) await inParallel(8, pods.get(subject)!, (pod) => podDown(subject, pod));
}
