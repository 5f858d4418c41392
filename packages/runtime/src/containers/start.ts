import { mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { findProcess, UndoStack } from '@amphipod/linux';
import { nowNs } from '../clock.ts';
import type { RuntimeContext } from '../context.ts';
import { CriError, errorText } from '../errors.ts';
import { createUnderConmon, killMonitor } from '../oci/conmon.ts';
import { runtimeFor } from '../oci/runtimes.ts';
import { startCreated } from '../oci/start.ts';
import type { Container } from '../store/records.ts';
import { cleanUpExited, recordExit } from './exited.ts';
import { withIdMappedMounts } from './id-mapped-mounts.ts';
import { containerPaths } from './paths.ts';

/** Reason of a container that never ran; StartContainer may be tried again. */
export const startErrorReason = 'StartError';

/**
 * Runs the container's process: `create` under conmon, then `start`. After a failure nothing of it runs and the
 * container is EXITED with reason StartError, code 128 and the error as message, as the kubelet expects.
 */
export async function startContainerProcess(context: RuntimeContext, container: Container): Promise<void> {
  const { store, failpoint } = context;
  store.containers.update(container, { state: 'starting' });
  await using undo = new UndoStack((what, error) =>
    context.log.error(`undo of start: ${what}`, { container: container.id, error: errorText(error) }),
  );
  try {
    undo.defer('remove process', async () => {
      await killMonitor(containerPaths(context.config, container.id).conmonPid, container.id);
      await cleanUpExited(context, container);
    });
    failpoint('start-container.begin');
    const pid = await withIdMappedMounts(context, container, () => createProcess(context, container));
    failpoint('start-container.create');
    const runtime = runtimeFor(context.runtimes, container.runtimeHandler);
    const process = findProcess(pid);
    // Before, not after: a short process may end while we wait for the word that it was started.
    const startedAtNs = nowNs();
    await startCreated(runtime, container.id, { pid, hasHooks: container.hasHooks });
    failpoint('start-container.start');
    if (process === undefined) throw new CriError('internal', `process ${pid} ended before it was started`);
    store.containers.update(container, { state: 'running', process, startedAtNs, reason: '', message: '' });
    context.events.container('started', container);
    failpoint('start-container.running');
    undo.commit();
  } catch (error) {
    store.containers.update(container, {
      state: 'exited',
      process: undefined,
      startedAtNs: 0n,
      finishedAtNs: nowNs(),
      exitCode: 128,
      reason: startErrorReason,
      message: errorText(error),
    });
    context.events.container('stopped', container);
    throw error;
  }
  // A short-lived process may have ended before its record said that it runs.
  await recordExit(context, container);
}

async function createProcess(context: RuntimeContext, container: Container): Promise<number> {
  const paths = containerPaths(context.config, container.id);
  const { config, logPath } = container;
  // Recovery must not take the pid of an earlier try for this one's.
  for (const file of [paths.pid, paths.conmonPid, paths.oom]) rmSync(file, { force: true });
  if (logPath !== '') mkdirSync(dirname(logPath), { recursive: true, mode: 0o755 });
  return createUnderConmon({
    conmonPath: context.programs.conmon,
    runtime: runtimeFor(context.runtimes, container.runtimeHandler),
    containerId: container.id,
    bundle: paths.bundle,
    pidFile: paths.pid,
    conmonPidFile: paths.conmonPid,
    exitDir: context.exits.path,
    socketDir: paths.bundle,
    logPath: logPath === '' ? undefined : logPath,
    terminal: config.tty,
    stdin: config.stdin,
    stdinOnce: config.stdinOnce,
    systemdCgroup: context.cgroupDriver === 'systemd',
    sharesDevices: sharesDevices(context, container),
  });
}

/** Without a user namespace and a mount of the node's devices, a container has just devices of its own. */
function sharesDevices({ store }: RuntimeContext, { sandboxId, config }: Container): boolean {
  return (
    store.sandboxes.get(sandboxId)?.userns !== undefined ||
    config.mounts.some(({ containerPath }) => /^\/+dev(\/+null)?\/*$/.test(containerPath))
  );
}
