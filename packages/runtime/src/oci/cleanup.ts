import { existsSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CgroupLayout, cgroupKill, cgroupPids, cgroupRemove } from '@amphipod/linux';
import type { OciRuntime } from './runtimes.ts';

/**
 * What `runc delete --force ID` does, without starting it: kills what is left in the container's cgroup, removes the
 * cgroup and the runtime's state. Hooks are the only other thing that delete would run: see `cleanUpExited`.
 * Fine when there is nothing left.
 */
export async function cleanUpContainer(
  runtime: OciRuntime,
  containerId: string,
  { cgroups, cgroupPath }: { cgroups: CgroupLayout; cgroupPath: string },
): Promise<void> {
  // A killed process leaves its cgroup a moment later; 5 s is for a machine in trouble.
  for (let waitMs = 1; !cgroupRemove(cgroups, cgroupPath) && waitMs < 4096; waitMs *= 2) {
    cgroupKill(cgroups, cgroupPath);
    await sleep(waitMs);
  }
  const left = cgroupPids(cgroups, cgroupPath);
  if (left.length > 0)
    throw new Error(`remove cgroup ${cgroupPath}: processes ${left.join(', ')} do not end`);
  rmSync(`${runtime.root}/${containerId}`, { recursive: true, force: true });
}

/** True while the OCI runtime knows the container. */
export function hasState({ root }: OciRuntime, containerId: string): boolean {
  return existsSync(`${root}/${containerId}`);
}

/** True when `create` ended but `start` did not: the runtime's start fifo is still there (runc and crun both use one). */
export function waitsForStart(runtime: OciRuntime, containerId: string): boolean {
  return existsSync(`${runtime.root}/${containerId}/exec.fifo`);
}
