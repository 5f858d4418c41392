import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import {
  type CgroupLayout,
  cgroupKill,
  cgroupRemove,
  detectCgroups,
  killQuietly,
  mountInfo,
} from '@amphipod/linux';
import {
  type ContainerConfig,
  ContainerState,
  type ContainerStatus,
  NamespaceMode,
  type PodSandboxConfig,
  SecurityProfile_ProfileType,
} from '../../../packages/runtime/src/gen/api.ts';
import type { Cri, Given } from './client.ts';
import { logText } from './cri-log.ts';
import { runAny } from './program.ts';
import { idleCommand, type TestImage } from './test-images.ts';
import { eventually } from './wait.ts';

/** The cgroup driver that our daemon takes by itself on this machine. */
export const cgroupDriver: 'systemd' | 'cgroupfs' = existsSync('/run/systemd/system')
  ? 'systemd'
  : 'cgroupfs';

/** Parent of every cgroup that this process's pods make. */
export const cgroupRoot = cgroupRootOf(cgroupDriver);

export function cgroupRootOf(driver: 'systemd' | 'cgroupfs'): string {
  return driver === 'systemd' ? `/amphipodtest${process.pid}.slice` : `/amphipod-test-${process.pid}`;
}

/** `cgroup_parent` of a pod, as a kubelet with this cgroup driver names it. */
export function podCgroup(uid: string, driver: 'systemd' | 'cgroupfs' = cgroupDriver): string {
  const root = cgroupRootOf(driver);
  if (driver === 'cgroupfs') return `${root}/pod${uid}`;
  return `${root}${root.slice(0, -'.slice'.length)}-pod${uid.replaceAll('-', '_')}.slice`;
}

export { NamespaceMode };

type SandboxGiven = Given<PodSandboxConfig>;
type ContainerGiven = Given<ContainerConfig>;

const runtimeDefault = { profileType: SecurityProfile_ProfileType.RuntimeDefault };

/** A pod as the kubelet asks for it: PID namespace per container, seccomp RuntimeDefault, a pod cgroup, DNS. */
export function sandboxConfig(given: SandboxGiven = {}): SandboxGiven {
  const uid = given.metadata?.uid ?? randomUUID();
  return {
    hostname: 'test-pod',
    dnsConfig: { servers: ['192.0.2.53'], searches: ['test.example'], options: ['ndots:5'] },
    labels: { 'io.kubernetes.pod.uid': uid },
    ...given,
    metadata: { name: `pod-${uid.slice(0, 8)}`, namespace: 'test', attempt: 0, ...given.metadata, uid },
    linux: {
      cgroupParent: podCgroup(uid),
      ...given.linux,
      securityContext: {
        namespaceOptions: kubeletNamespaces(),
        seccomp: runtimeDefault,
        ...given.linux?.securityContext,
      },
    },
  };
}

/** The namespace options of an ordinary pod, `changes` aside. */
export function kubeletNamespaces(
  changes: { pid?: NamespaceMode; network?: NamespaceMode; ipc?: NamespaceMode } = {},
) {
  return { network: NamespaceMode.POD, ipc: NamespaceMode.POD, pid: NamespaceMode.CONTAINER, ...changes };
}

/** A container of such a pod; idle and ending on SIGTERM unless a command is given. */
export function containerConfig(image: TestImage, given: ContainerGiven = {}): ContainerGiven {
  const { metadata, linux, ...rest } = given;
  return {
    image: { image: image.id, userSpecifiedImage: image.name },
    command: idleCommand,
    ...rest,
    metadata: { name: 'main', attempt: 0, ...metadata },
    linux: {
      ...linux,
      resources: { cpuShares: 2, oomScoreAdj: 1000, ...linux?.resources },
      securityContext: {
        namespaceOptions: kubeletNamespaces(),
        seccomp: runtimeDefault,
        ...linux?.securityContext,
      },
    },
  };
}

/** A running pod sandbox. */
export interface Pod {
  id: string;
  config: SandboxGiven;
}

export async function runPod(cri: Cri, given: SandboxGiven = {}): Promise<Pod> {
  const config = sandboxConfig(given);
  const { podSandboxId } = await cri.runPodSandbox({ config });
  return { id: podSandboxId, config };
}

/** CreateContainer and StartContainer. @returns the container's id */
export async function startContainer(
  cri: Cri,
  pod: Pod,
  { image, ...given }: ContainerGiven & { image: TestImage },
): Promise<string> {
  const containerId = await createContainer(cri, pod, { image, ...given });
  await cri.startContainer({ containerId });
  return containerId;
}

export async function createContainer(
  cri: Cri,
  pod: Pod,
  { image, ...given }: ContainerGiven & { image: TestImage },
): Promise<string> {
  const config = containerConfig(image, given as ContainerGiven);
  const answer = await cri.createContainer({ podSandboxId: pod.id, config, sandboxConfig: pod.config });
  return answer.containerId;
}

export async function removePod(cri: Cri, pod: Pod): Promise<void> {
  await cri.stopPodSandbox({ podSandboxId: pod.id });
  await cri.removePodSandbox({ podSandboxId: pod.id });
}

/** Runs a pod, and removes it once `work` is done. */
export async function withPod(
  cri: Cri,
  given: SandboxGiven,
  work: (pod: Pod) => Promise<void>,
): Promise<void> {
  const pod = await runPod(cri, given);
  await work(pod);
  await removePod(cri, pod);
}

/** Runs a container in a pod of its own, and removes the pod once `work` is done; its ids are those of container and pod. */
export async function withContainer(
  { cri, image }: { cri: Cri; image: TestImage },
  given: Omit<ContainerGiven, 'image'>,
  work: (containerId: string, podSandboxId: string) => Promise<void>,
): Promise<void> {
  await withPod(cri, {}, async (pod) => {
    await work(await startContainer(cri, pod, { image, ...given }), pod.id);
  });
}

/** The status of a container once it has ended. */
export async function exited(cri: Cri, containerId: string, timeoutMs = 10_000) {
  return eventually(
    `container ${containerId} to end`,
    async () => {
      const { status } = await cri.containerStatus({ containerId });
      return status?.state === ContainerState.CONTAINER_EXITED ? status : undefined;
    },
    { timeoutMs },
  );
}

/** What our daemon says of a container that CRI has no field for. */
export interface ContainerInfo {
  pid: number;
  cgroupPath: string;
  paths: { conmonPid: string; data: string; upper: string };
}

export async function containerInfo(cri: Cri, containerId: string): Promise<ContainerInfo> {
  const { info } = await cri.containerStatus({ containerId, verbose: true });
  return JSON.parse(info.info!);
}

/** The same of a pod. */
export async function podInfo(cri: Cri, podSandboxId: string): Promise<{ pid: number }> {
  const { info } = await cri.podSandboxStatus({ podSandboxId, verbose: true });
  return JSON.parse(info.info!);
}

/** Kills the conmon of a container of our daemon. */
export async function killMonitor(cri: Cri, containerId: string): Promise<void> {
  const { paths } = await containerInfo(cri, containerId);
  killQuietly(Number(readFileSync(paths.conmonPid, 'latin1')), 'SIGKILL');
}

/** Runs a container to its end; its log is named like itself, so the pod needs a log directory. */
export async function runToEnd(
  cri: Cri,
  pod: Pod,
  given: ContainerGiven & { image: TestImage },
): Promise<{ status: ContainerStatus; stdout: string; stderr: string }> {
  const name = given.metadata?.name ?? `c-${randomUUID().slice(0, 8)}`;
  const containerId = await startContainer(cri, pod, {
    ...given,
    metadata: { ...given.metadata, name },
    logPath: `${name}.log`,
  });
  const status = await exited(cri, containerId);
  const log = `${pod.config.logDirectory}/${name}.log`;
  return { status, stdout: logText(log), stderr: logText(log, 'stderr') };
}

/** The pod's primary address. */
export async function podIp(cri: Cri, pod: Pod): Promise<string> {
  const { status } = await cri.podSandboxStatus({ podSandboxId: pod.id });
  return status!.network!.ip;
}

/** What `command` prints in a container; stderr and the exit code are part of it when it fails. */
export async function execText(cri: Cri, containerId: string, command: string[]): Promise<string> {
  const { stdout, stderr, exitCode } = await cri.execSync({ containerId, cmd: command, timeout: 10 });
  const text = Buffer.from(stdout).toString();
  return exitCode === 0 ? text : `${text}${Buffer.from(stderr).toString()}exit ${exitCode}\n`;
}

/** How many processes in a container have `text` in their command line. */
export async function processesLike(cri: Cri, containerId: string, text: string): Promise<number> {
  const script = `ps | grep -c "[${text[0]}]${text.slice(1)}"; true`;
  return Number(await execText(cri, containerId, ['sh', '-c', script]));
}

/**
 * Every cgroup file system of this machine; on a hybrid one also the version 2 mount without controllers, where runc
 * makes groups too.
 */
export function allCgroups(): CgroupLayout {
  const layout = detectCgroups();
  const unified = mountInfo().find(({ fsType }) => fsType === 'cgroup2');
  return {
    ...layout,
    mounts: new Map([...layout.mounts, ...(unified ? [['', unified.mountPoint] as const] : [])]),
  };
}

/** Removes the cgroups of this process's pods. Call after the servers are gone. */
export async function removeCgroups(): Promise<void> {
  const layout = allCgroups();
  if (cgroupDriver === 'systemd') await runAny(['systemctl', 'stop', cgroupRoot.slice(1)]);
  for (const root of new Set([cgroupRoot, cgroupRootOf('cgroupfs')])) {
    await eventually('the end of the pods’ cgroups', () => {
      cgroupKill(layout, root);
      return cgroupRemove(layout, root);
    });
  }
}
