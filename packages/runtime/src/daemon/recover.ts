import { findProcess, isAlive } from '@amphipod/linux';
import { nowNs } from '../clock.ts';
import { cleanUpExited, recordExit, recordLostExit } from '../containers/exited.ts';
import { containerPaths } from '../containers/paths.ts';
import { removeContainerCompletely } from '../containers/remove.ts';
import { removeContainerFiles, removeMountPoint } from '../containers/rootfs.ts';
import type { RuntimeContext } from '../context.ts';
import { errorText } from '../errors.ts';
import { listDir } from '../list-dir.ts';
import { cleanUpContainer, waitsForStart } from '../oci/cleanup.ts';
import { killMonitor } from '../oci/conmon.ts';
import { runtimeFor } from '../oci/runtimes.ts';
import { removeSandboxFiles } from '../pods/files.ts';
import { detachUnfinished } from '../pods/further-networks/detach.ts';
import { removeSandboxNamespaces } from '../pods/namespaces.ts';
import { releaseSandbox } from '../pods/release.ts';
import { readText } from '../read-text.ts';
import type { Container, Sandbox } from '../store/records.ts';

/**
 * Brings records and machine together after a restart: what ran goes on, what ended meanwhile gets its true exit code,
 * what was half made is undone, what nobody owns is removed. A failure with one pod never keeps the daemon from
 * starting (field case LIF-05).
 */
export async function recover(context: RuntimeContext): Promise<void> {
  const { store, log } = context;
  const guarded = async (what: string, id: string, work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      log.error(`recover ${what}`, { id, error: errorText(error) });
    }
  };
  for (const table of [store.sandboxes, store.containers]) {
    for (const [id, error] of table.unreadable)
      log.error('a record cannot be read: what is left of it is removed', { id, error: errorText(error) });
  }
  for (const sandbox of store.sandboxes.list()) context.sandboxNames.reserve(sandbox.name, sandbox.id);
  for (const container of store.containers.list())
    context.containerNames.reserve(container.name, container.id);
  for (const container of store.containers.list()) {
    await guarded('container', container.id, () => recoverContainer(context, container));
  }
  for (const sandbox of store.sandboxes.list()) {
    await guarded('sandbox', sandbox.id, () => recoverSandbox(context, sandbox));
  }
  await guarded('leftovers', '', () => removeOrphans(context));
  await guarded('results of plugins', '', async () => context.cni.removeLeftovers());
}

async function recoverContainer(context: RuntimeContext, container: Container): Promise<void> {
  const { store } = context;
  if (container.bootId !== context.bootId && container.state !== 'creating')
    return endedWithBoot(context, container);
  switch (container.state) {
    case 'creating':
      return removeContainerCompletely(context, container);
    case 'starting':
      return recoverStarting(context, container);
    case 'running':
      await recordExit(context, container);
      await recordLostExit(context, container);
      return;
    case 'exited':
      return cleanUpExited(context, container);
    case 'created':
    case 'unknown':
      return store.containers.update(container, {});
  }
}

/** Killed in the middle of StartContainer: either the user's process runs already, or nothing of it may stay. */
async function recoverStarting(context: RuntimeContext, container: Container): Promise<void> {
  const runtime = runtimeFor(context.runtimes, container.runtimeHandler);
  const paths = containerPaths(context.config, container.id);
  const pid = Number(readText(paths.pid));
  const ended = context.exits.read(container.id) !== undefined;
  // They would keep the volumes busy.
  for (const { target } of container.idMappedMounts ?? []) await removeMountPoint(target);
  if (pid > 0 && (ended || findProcess(pid) !== undefined) && !waitsForStart(runtime, container.id)) {
    const process = findProcess(pid);
    context.store.containers.update(container, { state: 'running', process, startedAtNs: nowNs() });
    return recordExit(context, container);
  }
  await killMonitor(paths.conmonPid, container.id);
  await cleanUpExited(context, container);
  context.store.containers.update(container, { state: 'created', process: undefined });
}

/** The machine was restarted: no process, no namespace, no mount is left. */
async function endedWithBoot(context: RuntimeContext, container: Container): Promise<void> {
  if (container.state !== 'exited') {
    const lost = { state: 'exited', exitCode: 255, reason: 'Unknown', finishedAtNs: nowNs() } as const;
    context.store.containers.update(container, {
      ...lost,
      message: 'the machine was restarted',
      process: undefined,
    });
  }
  await cleanUpExited(context, container);
  context.store.containers.update(container, { bootId: context.bootId });
}

async function recoverSandbox(context: RuntimeContext, sandbox: Sandbox): Promise<void> {
  const { store } = context;
  const rebooted = sandbox.bootId !== context.bootId;
  const initGone = sandbox.init !== undefined && !isAlive(sandbox.init);
  if (sandbox.state === 'creating') {
    // Shown as NOTREADY until it is gone, so that StopPodSandbox can go on if this fails.
    store.sandboxes.update(sandbox, { state: 'notready' });
    await releaseSandbox(context, sandbox, { signal: AbortSignal.timeout(60_000) });
    store.sandboxes.remove(sandbox.id);
    context.sandboxNames.release(sandbox.name);
    return;
  }
  // Its addresses are still reserved on disk (field case CNI-01): the release gives them back.
  if (!rebooted && sandbox.state === 'ready') {
    await detachUnfinished(context, sandbox, { signal: AbortSignal.timeout(60_000) });
  }
  if (rebooted) await releaseSandbox(context, sandbox, { signal: AbortSignal.timeout(60_000) });
  if (rebooted || initGone) store.sandboxes.update(sandbox, { state: 'notready', bootId: context.bootId });
}

/** Directories of pods, containers and image users that no record knows. */
async function removeOrphans(context: RuntimeContext): Promise<void> {
  const { state, root } = context.config;
  for (const id of listDir(`${state}/sandboxes`)) {
    if (context.store.sandboxes.get(id) !== undefined) continue;
    removeSandboxNamespaces(context, id);
    removeSandboxFiles(context, id);
  }
  for (const id of new Set([...listDir(`${state}/containers`), ...listDir(`${root}/containers`)])) {
    if (context.store.containers.get(id) !== undefined) continue;
    await killOrphan(context, id);
    await removeContainerFiles(context, id);
  }
  for (const { ownerId } of context.images.owners()) {
    if (context.store.containers.get(ownerId) === undefined) context.images.release(ownerId);
  }
}

/** A container that runs and has no record cannot be listed, nor stopped by anybody else (field case LIF-05). */
async function killOrphan(context: RuntimeContext, id: string): Promise<void> {
  const paths = containerPaths(context.config, id);
  const pid = Number(readText(paths.pid));
  // Its cgroup is named after it: another process with this pid is in another one.
  const cgroupPath = readText(`/proc/${pid}/cgroup`)
    .split('\n')
    .map((line) => line.replace(/^\d+:[^:]*:/, ''))
    .find((path) => path.includes(id));
  await killMonitor(paths.conmonPid, id);
  if (!(pid > 0) || cgroupPath === undefined) return;
  context.log.warn('end container without a record', { container: id, pid });
  for (const runtime of context.runtimes.byName.values())
    await cleanUpContainer(runtime, id, { cgroups: context.cgroups, cgroupPath });
}
