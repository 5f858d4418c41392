import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, credentials } from '@grpc/grpc-js';
import {
  containerConfig,
  kubeletNamespaces,
  NamespaceMode,
  sandboxConfig,
} from '../../test/cri/support/pods.ts';
import { cpuMs } from './cpu-time.ts';
import type { Subject } from './cri-subjects.ts';
import { inParallel } from './in-parallel.ts';
import { type Samples, timed } from './samples.ts';

interface ListedPod {
  podSandboxId: string;
  containerId: string;
}

/** List calls with 500 pods that have a container each, created and not started. */
export async function fiveHundredListed(subjects: Subject[], samples: Samples, count: number): Promise<void> {
  for (const subject of subjects) {
    const pods = await makePods(subject, 500, { start: false });
    using client = rawClient(subject.server.socket);
    for (let i = -5; i < count * 3; i++) {
      // Something has changed at every other call, as on a node where pods come and go.
      if (i % 2 === 0) await touchOne(subject, pods[Math.abs(i) % pods.length]!);
      for (const method of ['ListPodSandbox', 'ListContainers']) {
        const { ms } = await timed(() => client.call(`/runtime.v1.RuntimeService/${method}`));
        if (i >= 0) samples.add(`${method}500`, subject.side, ms);
      }
    }
    await removePods(subject, pods);
  }
}

/**
 * What a kubelet asks with 250 running pods: both lists each second, the statuses of five pods that changed, Status every
 * 5 s, the stats of all containers and of the image file system every 10 s. The daemon's CPU time in percent of one core.
 */
export async function polled(subjects: Subject[], samples: Samples): Promise<void> {
  const seconds = 30;
  for (const subject of subjects) {
    const pods = await makePods(subject, 250, { start: true });
    const { cri } = subject.server;
    await sleep(5000);
    const { pid } = subject.server.program();
    const beforeMs = cpuMs(pid);
    const startedAt = performance.now();
    for (let second = 0; second < seconds; second++) {
      await cri.listPodSandbox();
      await cri.listContainers();
      for (let i = 0; i < 5; i++) {
        const pod = pods[(second * 5 + i) % pods.length]!;
        await cri.podSandboxStatus({ podSandboxId: pod.podSandboxId });
        await cri.containerStatus({ containerId: pod.containerId });
      }
      if (second % 5 === 0) await cri.status();
      if (second % 10 === 5) {
        const { ms } = await timed(() => cri.listContainerStats());
        samples.add('ListContainerStats250', subject.side, ms);
        await cri.imageFsInfo();
      }
      await sleep(Math.max(0, startedAt + (second + 1) * 1000 - performance.now()));
    }
    const tookMs = performance.now() - startedAt;
    samples.add('pollCpu250', subject.side, (100 * (cpuMs(pid) - beforeMs)) / tookMs, '%');
    await measureStats(subject, samples);
    await removePods(subject, pods);
  }
}

/** Of our daemon only: containerd's CRI of today has these calls, Debian's has not. */
async function measureStats({ side, server: { cri } }: Subject, samples: Samples): Promise<void> {
  if (side === 'peer') return;
  for (let i = 0; i < 5; i++) {
    samples.add('ListPodSandboxStats250', side, (await timed(() => cri.listPodSandboxStats())).ms);
    samples.add('ListPodSandboxMetrics250', side, (await timed(() => cri.listPodSandboxMetrics())).ms);
  }
}

/** Pods on the node's network, which takes no address and no plugin, with as many labels and annotations as usual. */
export async function makePods(
  subject: Subject,
  count: number,
  { start }: { start: boolean },
): Promise<ListedPod[]> {
  const { cri } = subject.server;
  return inParallel(4, Array.from({ length: count }), async () => {
    const uid = randomUUID();
    const securityContext = { namespaceOptions: kubeletNamespaces({ network: NamespaceMode.NODE }) };
    const labels = {
      'app.kubernetes.io/name': 'benchmark',
      'app.kubernetes.io/component': 'pod',
      'pod-template-hash': '5d59d67564',
      'io.kubernetes.pod.name': `benchmark-5d59d67564-${uid.slice(0, 5)}`,
      'io.kubernetes.pod.namespace': 'benchmark',
      'io.kubernetes.pod.uid': uid,
    };
    const annotations = {
      'kubernetes.io/config.seen': '2026-01-01T00:00:00.000000000Z',
      'kubernetes.io/config.source': 'api',
      'prometheus.io/scrape': 'true',
      'checksum/config': '6a1f0a7d9e0b4c3d8f2e1a5b7c9d0e3f6a1f0a7d9e0b4c3d8f2e1a5b7c9d0e3f',
    };
    const config = sandboxConfig({
      metadata: { uid },
      labels,
      annotations,
      linux: { cgroupParent: `${subject.cgroup}/pod${uid}`, securityContext },
    });
    const { podSandboxId } = await cri.runPodSandbox({ config });
    const { containerId } = await cri.createContainer({
      podSandboxId,
      sandboxConfig: config,
      config: containerConfig(subject.image, { labels, annotations, linux: { securityContext } }),
    });
    if (start) await cri.startContainer({ containerId });
    return { podSandboxId, containerId };
  });
}

/** Changes the record of a pod and of its container. */
async function touchOne(
  { server: { cri } }: Subject,
  { podSandboxId, containerId }: ListedPod,
): Promise<void> {
  await cri.removeContainer({ containerId });
  await cri.stopPodSandbox({ podSandboxId });
}

export async function removePods({ server: { cri } }: Subject, pods: ListedPod[]): Promise<void> {
  await inParallel(8, pods, async ({ podSandboxId }) => {
    await cri.stopPodSandbox({ podSandboxId });
    await cri.removePodSandbox({ podSandboxId });
  });
}

/** A client that leaves answers as bytes: what it measures is the server and the way, not this program's decoder. */
function rawClient(socket: string): { call(path: string): Promise<Buffer> } & Disposable {
  const client = new Client(`unix:${socket}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': 64 << 20,
  });
  const same = (bytes: Buffer) => bytes;
  return {
    call: (path) =>
      new Promise((resolve, reject) =>
        client.makeUnaryRequest(path, same, same, Buffer.alloc(0), (error, answer) =>
          error === null ? resolve(answer!) : reject(error),
        ),
      ),
    [Symbol.dispose]: () => client.close(),
  };
}
