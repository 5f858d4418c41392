import { rm } from 'node:fs/promises';
import type { PodSandbox } from '../gen/api.ts';
import type { CriClient } from './client.ts';
import { isNotFound } from './errors.ts';
import { annotation, type ContainerOfPod, isRunPod } from './pods.ts';

/** Stops a container and, when it came from `amphipod run`, its pod, which gives back address and ports. */
export async function stopContainer(
  cri: CriClient,
  { container, pod }: ContainerOfPod,
  graceSeconds: number,
) {
  await cri.runtime.stopContainer(
    { containerId: container.id, timeout: BigInt(graceSeconds) },
    { timeoutMs: (graceSeconds + 120) * 1000 },
  );
  if (isRunPod(pod)) await cri.runtime.stopPodSandbox({ podSandboxId: pod.id });
}

/** Removes a container, and with a container from `amphipod run` its pod and its log. */
export async function removeContainer(cri: CriClient, { container, pod }: ContainerOfPod): Promise<void> {
  if (isRunPod(pod)) await removeRunPod(cri, pod);
  else await cri.runtime.removeContainer({ containerId: container.id });
}

/** Removes a pod of `amphipod run` with all that is in it. */
export async function removeRunPod(
  { runtime }: CriClient,
  pod: Pick<PodSandbox, 'id' | 'annotations'>,
): Promise<void> {
  const podSandboxId = pod.id;
  try {
    await runtime.stopPodSandbox({ podSandboxId });
    await runtime.removePodSandbox({ podSandboxId });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  const directory = pod.annotations[annotation.logDirectory];
  if (directory) await rm(directory, { recursive: true, force: true });
}
