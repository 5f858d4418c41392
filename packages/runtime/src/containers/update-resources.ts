import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import {
  type CgroupLayout,
  cgroupMemoryUsage,
  cgroupProcesses,
  cgroupRestore,
  cgroupSettings,
  cgroupWrite,
  isCode,
  replaceFile,
} from '@amphipod/linux';
import type { RuntimeContext } from '../context.ts';
import { CriError } from '../errors.ts';
import { LinuxContainerResources } from '../gen/api.ts';
import { runtimeFor } from '../oci/runtimes.ts';
import type { OciResources, OciSpec } from '../oci/spec.ts';
import { updateLimits } from '../oci/update.ts';
import type { Container } from '../store/records.ts';
import { containerPaths } from './paths.ts';
import { clampOomScoreAdj, containerResources } from './resources.ts';
import { encodeResources, mergeResources, resourcesInForce } from './resources-in-force.ts';

/**
 * Changes the limits of a container: at once when it runs, else for its start. All of it or nothing: what the kernel
 * refuses in the middle is taken back. @throws CriError invalid-argument, failed-precondition
 */
export async function updateResources(
  context: RuntimeContext,
  container: Container,
  change: LinuxContainerResources,
): Promise<void> {
  const before = resourcesInForce(container) ?? LinuxContainerResources.fromPartial({});
  const wanted = mergeResources(before, change);
  const limits = containerResources(wanted, context.cgroups);
  if (container.state === 'running') {
    checkUsage(context.cgroups, container, wanted);
    const old = containerResources(before, context.cgroups);
    await applyAll(context, container, { old, limits });
    if (change.oomScoreAdj !== 0n) setOomScore(context.cgroups, container, Number(wanted.oomScoreAdj));
  } else {
    rewriteSpec(context, container, { limits, oomScoreAdj: Number(wanted.oomScoreAdj) });
  }
  context.store.containers.update(container, { updatedResources: encodeResources(wanted) });
}

/** On version 2 the kernel would obey and kill; version 1 refuses by itself, after it tried for a while. */
function checkUsage(cgroups: CgroupLayout, container: Container, wanted: LinuxContainerResources): void {
  const limit = wanted.memoryLimitInBytes;
  const usage = cgroupMemoryUsage(cgroups, container.cgroupPath);
  if (limit <= 0n || usage === undefined || usage.workingSetBytes < limit) return;
  throw new CriError(
    'failed-precondition',
    `update container ${container.id}: linux.memory_limit_in_bytes ${limit}: it uses ${usage.workingSetBytes} bytes now`,
  );
}

async function applyAll(
  context: RuntimeContext,
  container: Container,
  { old, limits }: { old: OciResources; limits: OciResources },
): Promise<void> {
  const { cgroups } = context;
  const { id, cgroupPath } = container;
  const runtime = runtimeFor(context.runtimes, container.runtimeHandler);
  const file = containerPaths(context.config, id).update;
  const extra = extraSettings(cgroups, limits);
  const saved = cgroupSettings(
    cgroups,
    cgroupPath,
    extra.map(([name]) => name),
  );
  try {
    await updateLimits(runtime, id, { limits, file });
    // The runtimes' `update` does not know these.
    for (const [name, value] of extra) cgroupWrite(cgroups, cgroupPath, [name, value]);
  } catch (cause) {
    // systemd's own idea of the limits first; then every file as it was.
    if (context.cgroupDriver === 'systemd')
      await updateLimits(runtime, id, { limits: old, file }).catch(() => {});
    cgroupRestore(cgroups, cgroupPath, saved);
    throw new CriError('failed-precondition', `update container ${id}`, { cause });
  }
}

/** Files of the cgroup to write, with their values. */
function extraSettings({ version }: CgroupLayout, limits: OciResources): [file: string, value: string][] {
  const hugePageFile = version === 2 ? 'max' : 'limit_in_bytes';
  return [
    ...(limits.hugepageLimits ?? []).map(({ pageSize, limit }): [string, string] => [
      `hugetlb.${pageSize}.${hugePageFile}`,
      `${limit}`,
    ]),
    ...Object.entries(limits.unified ?? {}),
  ];
}

function setOomScore(cgroups: CgroupLayout, container: Container, wanted: number): void {
  const score = clampOomScoreAdj(wanted);
  for (const pid of cgroupProcesses(cgroups, container.cgroupPath)) {
    try {
      writeFileSync(`/proc/${pid}/oom_score_adj`, `${score}`, { flag: 'r+' });
    } catch (error) {
      // Ended meanwhile; or it may not go below what somebody with more power gave it.
      if (!isCode(error, 'ENOENT', 'ESRCH', 'EACCES')) throw error;
    }
  }
}

/** For the start that is to come; a container that has ended may have no files any more. */
function rewriteSpec(
  context: RuntimeContext,
  container: Container,
  { limits, oomScoreAdj }: { limits: OciResources; oomScoreAdj: number },
): void {
  const file = containerPaths(context.config, container.id).spec;
  if (!existsSync(file)) return;
  const spec = JSON.parse(readFileSync(file, 'utf8')) as OciSpec;
  const { devices } = spec.linux.resources;
  spec.linux.resources = { ...limits, ...(devices && { devices }) };
  if (oomScoreAdj !== 0) spec.process.oomScoreAdj = clampOomScoreAdj(oomScoreAdj);
  replaceFile(file, JSON.stringify(spec));
}
