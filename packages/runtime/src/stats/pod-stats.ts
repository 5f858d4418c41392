import { cgroupProcesses } from '@amphipod/linux';
import { nowNs } from '../clock.ts';
import type { RuntimeContext } from '../context.ts';
import type { PodSandboxStats } from '../gen/api.ts';
import type { Sandbox } from '../store/records.ts';
import { runningContainerStats } from './container-stats.ts';
import { podNetworkUsage } from './pod-network.ts';
import { groupUsage } from './usage.ts';

/** The pod's own cgroup; undefined for a pod right below the root, whose usage would be the node's. */
export function podCgroup(sandbox: Sandbox): string | undefined {
  return sandbox.cgroupParent === '' ? undefined : sandbox.cgroupParent;
}

/** Stats of a pod and of its running containers. */
export function podStats(context: RuntimeContext, sandbox: Sandbox): PodSandboxStats {
  const { id, config } = sandbox;
  const cgroup = podCgroup(sandbox);
  const usage = cgroup === undefined ? undefined : groupUsage(context, cgroup);
  const processes = usage && cgroupProcesses(context.cgroups, cgroup!).length;
  return {
    attributes: {
      id,
      metadata: config.metadata,
      labels: config.labels,
      annotations: config.annotations,
    },
    linux: {
      cpu: usage?.cpu,
      memory: usage?.memory,
      io: usage?.io,
      network: podNetworkUsage(context, sandbox),
      process:
        processes === undefined
          ? undefined
          : { timestamp: nowNs(), processCount: { value: BigInt(processes) } },
      containers: context.store
        .containersOf(id)
        .flatMap((container) => runningContainerStats(context, container) ?? []),
    },
    windows: undefined,
  };
}
