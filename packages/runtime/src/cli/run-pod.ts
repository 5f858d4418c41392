import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  ContainerConfig,
  type KeyValue,
  LinuxPodSandboxConfig,
  type Mount,
  NamespaceMode,
  PodSandboxConfig,
  type PortMapping,
} from '../gen/api.ts';
import type { CriClient } from './client.ts';
import { CliError, CriCallError, startFailureExitCode } from './errors.ts';
import { imageSpec } from './image-spec.ts';
import { formatPort } from './parse-port.ts';
import { annotation, ownerLabel } from './pods.ts';
import { removeRunPod } from './remove-run.ts';

/** A pod of one container, as `amphipod run` makes it. */
export interface RunSpec {
  name: string;
  image: string;
  /** In place of the image's CMD. */
  args: string[];
  /** In place of the image's ENTRYPOINT. */
  entrypoint?: string;
  envs: KeyValue[];
  /** Of the pod, beside our own. */
  labels: Record<string, string>;
  mounts: Mount[];
  ports: PortMapping[];
  workingDir?: string;
  /** Directory under which the pod gets one for its log. */
  logRoot: string;
}

/** What {@link runPod} made. */
export interface RunningPod {
  podSandboxId: string;
  containerId: string;
  logPath: string;
  /** As {@link removeRunPod} takes it. */
  pod: { id: string; annotations: Record<string, string> };
}

/**
 * Makes and starts a pod of one container. When a step fails, what the earlier ones made is removed.
 * @throws CliError with the exit code for what went wrong
 */
export async function runPod(client: CriClient, spec: RunSpec): Promise<RunningPod> {
  const { runtime } = client;
  const config = podConfig(spec);
  const logPath = join(config.logDirectory, spec.name, '0.log');
  // The kubelet makes these directories for its pods; here it is our part.
  await mkdir(dirname(logPath), { recursive: true, mode: 0o755 });
  const pod = { id: '', annotations: config.annotations };
  try {
    const sandbox = await runtime.runPodSandbox({ config, runtimeHandler: '' }, { timeoutMs: 240_000 });
    pod.id = sandbox.podSandboxId;
    const { containerId } = await runtime.createContainer({
      podSandboxId: pod.id,
      config: containerConfig(spec),
      sandboxConfig: config,
    });
    await runtime.startContainer({ containerId });
    return { podSandboxId: pod.id, containerId, logPath, pod };
  } catch (error) {
    await removeRunPod(client, pod).catch(() => {});
    if (!(error instanceof CriCallError)) throw error;
    throw new CliError(error.message, { exitCode: startFailureExitCode(error.message), cause: error });
  }
}

function podConfig({ name, labels, ports, logRoot }: RunSpec): PodSandboxConfig {
  const namespace = 'default';
  const uid = randomUUID();
  const logDirectory = join(logRoot, `${namespace}_${name}_${uid}`);
  return PodSandboxConfig.create({
    metadata: { name, namespace, uid, attempt: 0 },
    hostname: name,
    logDirectory,
    portMappings: ports,
    labels: {
      ...labels,
      'io.kubernetes.pod.name': name,
      'io.kubernetes.pod.namespace': namespace,
      'io.kubernetes.pod.uid': uid,
      [ownerLabel]: name,
    },
    annotations: {
      [annotation.logDirectory]: logDirectory,
      ...(ports.length > 0 && { [annotation.ports]: ports.map(formatPort).join(', ') }),
    },
    linux: LinuxPodSandboxConfig.create({
      securityContext: { namespaceOptions: namespaceOptions() },
    }),
  });
}

// As the kubelet asks for an ordinary pod: one network and IPC namespace, and a process namespace for each container.
function namespaceOptions() {
  return { network: NamespaceMode.POD, ipc: NamespaceMode.POD, pid: NamespaceMode.CONTAINER };
}

function containerConfig(spec: RunSpec): ContainerConfig {
  const { name, image, args, entrypoint } = spec;
  const command = [...(entrypoint === undefined ? [] : [entrypoint]), ...args];
  return ContainerConfig.create({
    metadata: { name, attempt: 0 },
    image: imageSpec(image),
    command: entrypoint === undefined ? [] : [entrypoint],
    args,
    workingDir: spec.workingDir ?? '',
    envs: spec.envs,
    mounts: spec.mounts,
    labels: { 'io.kubernetes.container.name': name, [ownerLabel]: name },
    annotations: command.length === 0 ? {} : { [annotation.command]: command.join(' ') },
    logPath: join(name, '0.log'),
    linux: { securityContext: { namespaceOptions: namespaceOptions() } },
  });
}
