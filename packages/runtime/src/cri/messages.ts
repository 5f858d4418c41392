import { resourcesInForce } from '../containers/resources-in-force.ts';
import { criSignal } from '../containers/signals.ts';
import {
  type ContainerStatus,
  ContainerState as CriContainerState,
  NamespaceMode,
  PodSandboxState,
  type PodSandboxStatus,
} from '../gen/api.ts';
import type { Container, ContainerState, Sandbox } from '../store/records.ts';

/** State as CRI sees it: while the OCI runtime is at work the container is still CREATED. */
export function criContainerState(state: ContainerState): CriContainerState {
  switch (state) {
    case 'creating':
    case 'created':
    case 'starting':
      return CriContainerState.CONTAINER_CREATED;
    case 'running':
      return CriContainerState.CONTAINER_RUNNING;
    case 'exited':
      return CriContainerState.CONTAINER_EXITED;
    case 'unknown':
      return CriContainerState.CONTAINER_UNKNOWN;
  }
}

export function criSandboxState(sandbox: Sandbox): PodSandboxState {
  return sandbox.state === 'ready' ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY;
}

const namespaceModes = {
  pod: NamespaceMode.POD,
  container: NamespaceMode.CONTAINER,
  node: NamespaceMode.NODE,
} as const;

/** PodSandboxStatus and the status in events. */
export function sandboxStatusMessage(sandbox: Sandbox): PodSandboxStatus {
  const { config, namespaces, ips } = sandbox;
  const [ip = '', ...additional] = ips;
  return {
    id: sandbox.id,
    metadata: config.metadata,
    state: criSandboxState(sandbox),
    createdAt: sandbox.createdAtNs,
    // A pod on the node's network has no address of its own: the kubelet fills in the node's.
    network: { ip, additionalIps: additional.map((address) => ({ ip: address })) },
    linux: {
      namespaces: {
        options: {
          network: namespaceModes[namespaces.network],
          ipc: namespaceModes[namespaces.ipc],
          pid: namespaceModes[namespaces.pid],
          targetId: '',
          usernsOptions: config.linux?.securityContext?.namespaceOptions?.usernsOptions,
        },
      },
    },
    labels: config.labels,
    annotations: config.annotations,
    runtimeHandler: sandbox.runtimeHandler,
  };
}

/** ContainerStatus without verbose info. */
export function containerStatusMessage(container: Container): ContainerStatus {
  const { config, user } = container;
  const resources = resourcesInForce(container);
  return {
    id: container.id,
    metadata: config.metadata,
    state: criContainerState(container.state),
    createdAt: container.createdAtNs,
    startedAt: container.startedAtNs,
    finishedAt: container.finishedAtNs,
    exitCode: container.exitCode,
    image: {
      image: container.imageName,
      annotations: config.image?.annotations ?? {},
      userSpecifiedImage: config.image?.userSpecifiedImage ?? '',
      runtimeHandler: config.image?.runtimeHandler ?? '',
      imageRef: '',
    },
    imageRef: container.imageRef,
    imageId: container.imageId,
    reason: container.reason,
    message: container.message,
    labels: config.labels,
    annotations: config.annotations,
    mounts: config.mounts.map((mount, index) =>
      mount.image === undefined
        ? mount
        : { ...mount, image: { ...mount.image, imageRef: container.volumeImageIds?.[index] ?? '' } },
    ),
    logPath: container.logPath,
    resources: resources && { linux: resources, windows: undefined },
    user: {
      linux: {
        uid: BigInt(user.uid),
        gid: BigInt(user.gid),
        supplementalGroups: user.groups.map(BigInt),
      },
    },
    stopSignal: criSignal(container.stopSignal),
  };
}
