import type { Container, PodSandbox } from '../gen/api.ts';
import { ContainerState, PodSandboxState } from '../gen/api.ts';
import type { CriClient } from './client.ts';

/** What `amphipod run` notes on the pods and containers that it makes; CRI itself does not tell these things in lists. */
export const annotation = {
  /** Published ports as `ps` prints them. */
  ports: 'io.amphipod.ports',
  /** Command line of the container. */
  command: 'io.amphipod.command',
  /** Log directory, which nobody else removes. */
  logDirectory: 'io.amphipod.log-directory',
} as const;

/** Marks pods with one container that live and go with it. */
export const ownerLabel = 'io.amphipod.run';

/** A container with the pod that it is in. */
export interface ContainerOfPod {
  container: Container;
  pod: PodSandbox | undefined;
}

/** All containers with their pods, newest first. */
export async function listContainers({ runtime }: CriClient): Promise<ContainerOfPod[]> {
  const [{ containers }, { items }] = await Promise.all([
    runtime.listContainers({ filter: undefined }),
    runtime.listPodSandbox({ filter: undefined }),
  ]);
  const pods = new Map(items.map((pod) => [pod.id, pod]));
  return containers
    .map((container) => ({ container, pod: pods.get(container.podSandboxId) }))
    .sort((a, b) => Number(b.container.createdAt - a.container.createdAt));
}

/** True for a pod that `amphipod run` made. */
export function isRunPod(pod: PodSandbox | undefined): pod is PodSandbox {
  return pod?.labels[ownerLabel] !== undefined;
}

/** The state as users see it: `running`. */
export function containerState(state: ContainerState): string {
  const names: Record<ContainerState, string> = {
    [ContainerState.CONTAINER_CREATED]: 'created',
    [ContainerState.CONTAINER_RUNNING]: 'running',
    [ContainerState.CONTAINER_EXITED]: 'exited',
    [ContainerState.CONTAINER_UNKNOWN]: 'unknown',
  };
  return names[state] ?? `state ${state}`;
}

/** The state as users see it: `ready`. */
export function podState(state: PodSandboxState): string {
  return state === PodSandboxState.SANDBOX_READY ? 'ready' : 'not ready';
}
