import type { IdMapping, ProcessId } from '@amphipod/linux';
import type { ContainerConfig, PodSandboxConfig } from '../gen/api.ts';

/** How a pod or container uses one kind of namespace (runtime.v1 NamespaceMode, named). */
export type NamespaceMode = 'pod' | 'container' | 'node' | 'target';

/**
 * creating: being made or, after a crash, half made; never shown over CRI.
 * ready: usable. notready: stopped, or its init died; what is left to undo is in the other fields.
 */
export type SandboxState = 'creating' | 'ready' | 'notready';

/** One attachment of a pod to a network beyond its first. */
export interface FurtherNetwork {
  /** attaching: ADD is under way or, after a crash, half done. */
  state: 'attaching' | 'attached';
  /** As the pod names it: `NAMESPACE/NAME`. */
  definition: string;
  /** Of the CNI configuration. */
  network: string;
  /** In the pod. */
  ifName: string;
  /** CNI_ARGS beside those of every network of the pod. */
  args: [key: string, value: string][];
  capabilityArgs: Record<string, unknown>;
  /** Device that is the pod's as long as this is noted, and the pool that it comes from. */
  deviceId?: string;
  resourceName?: string;
  /** Gateways of the default routes that lead through this interface. */
  defaultRoute?: string[];
}

/** Everything about a pod sandbox that must survive a restart of the daemon. */
export interface SandboxRecord {
  id: string;
  /** `NAME_NAMESPACE_UID_ATTEMPT`, unique among the sandboxes that exist. */
  name: string;
  state: SandboxState;
  /** Nanoseconds since 1970. */
  createdAtNs: bigint;
  runtimeHandler: string;
  namespaces: { network: 'pod' | 'node'; ipc: 'pod' | 'node'; pid: 'pod' | 'container' | 'node' };
  /** Of the pod's own user namespace; undefined where it has none. */
  userns?: { uids: IdMapping[]; gids: IdMapping[] } | undefined;
  /** SELinux level of the pod, `s0:cA,cB`; undefined where SELinux is off. */
  selinuxLevel?: string | undefined;
  /** Parent of the containers' cgroups, absolute. */
  cgroupParent: string;
  /** True when the parent is ours to remove: no cgroup_parent was given. */
  ownsCgroupParent: boolean;
  /** With the systemd driver: out-of-memory kills in the parent that are accounted for (containers/oom-kills.ts). */
  oomKills?: number | undefined;
  /** Name of the CNI network that addList was started for, so that its undo is due; undefined when there is none or it is undone. */
  network?: string | undefined;
  /** Pod addresses without prefix length, the primary one first. */
  ips: string[];
  /** Networks beyond that one, in the order of attaching; each is noted before its ADD, so that its undo is due. */
  furtherNetworks?: FurtherNetwork[] | undefined;
  /** The init that holds the pod's PID namespace, where there is one. */
  init?: ProcessId | undefined;
  /** Kernel boot that made the namespaces; another one means that they are gone. */
  bootId: string;
}

/**
 * creating: see SandboxState. created: as CRI. starting: the OCI runtime is at work.
 * running, exited: as CRI. unknown: the process cannot be found and left no exit code.
 */
export type ContainerState = 'creating' | 'created' | 'starting' | 'running' | 'exited' | 'unknown';

/** Everything about a container that must survive a restart of the daemon. */
export interface ContainerRecord {
  id: string;
  sandboxId: string;
  /** `CONTAINER_POD_NAMESPACE_UID_ATTEMPT`, unique among the containers that exist. */
  name: string;
  state: ContainerState;
  createdAtNs: bigint;
  startedAtNs: bigint;
  finishedAtNs: bigint;
  exitCode: number;
  reason: string;
  message: string;
  imageId: string;
  /** Repository digest of the image where it has one, else its id. */
  imageRef: string;
  /** What the user wrote: name with tag or digest. */
  imageName: string;
  runtimeHandler: string;
  /** Absolute path below the cgroup file systems. */
  cgroupPath: string;
  /** Base64 of the LinuxContainerResources in force where UpdateContainerResources changed those of the configuration. */
  updatedResources?: string | undefined;
  /** Absolute, or empty when no log was asked for. */
  logPath: string;
  stopSignal: string;
  user: { uid: number; gid: number; groups: number[]; home: string };
  process?: ProcessId | undefined;
  bootId: string;
  /** CDI devices brought hooks, which only the OCI runtime itself runs: at start and at removal. */
  hasHooks?: boolean;
  /** Ids of the images behind the mounts that are image volumes, by the mount's index. */
  volumeImageIds?: Record<number, string>;
  /** Mounts that the pod's user namespace sees with its own ids: made for the moment of the start. */
  idMappedMounts?: { source: string; target: string; isDirectory: boolean }[];
}

/** A record with the configuration it was made from, which is kept byte-exact. */
export interface Sandbox extends SandboxRecord {
  readonly config: PodSandboxConfig;
}

/** See {@link Sandbox}. */
export interface Container extends ContainerRecord {
  readonly config: ContainerConfig;
}
