import { isAlive } from '@amphipod/linux';
import { nowNs } from '../clock.ts';
import type { RuntimeContext } from '../context.ts';
import { errorText } from '../errors.ts';
import { cleanUpContainer, hasState } from '../oci/cleanup.ts';
import { monitorOf } from '../oci/conmon.ts';
import type { ExitReport } from '../oci/exits.ts';
import { runRuntime } from '../oci/run-runtime.ts';
import { runtimeFor } from '../oci/runtimes.ts';
import type { Container } from '../store/records.ts';
import { finishLog } from './finish-log.ts';
import { wasOomKilled } from './oom-kills.ts';
import { containerPaths } from './paths.ts';

/**
 * Records the end of a container whose exit report is there, wakes those who wait for it, then removes what the OCI
 * runtime keeps. Nothing happens when it is recorded already or has not ended.
 */
export async function recordExit(context: RuntimeContext, container: Container): Promise<void> {
  if (container.state !== 'running') return;
  const report = context.exits.read(container.id);
  if (report === undefined) return;
  await record(context, container, report);
}

/**
 * Looks for a container that ended without a report: its conmon was killed (field case LIF-08). The code is lost then.
 */
export async function recordLostExit(context: RuntimeContext, container: Container): Promise<void> {
  if (container.state !== 'running' || container.process === undefined || isAlive(container.process)) return;
  // Before the report is looked for: it is written before conmon ends.
  const { conmonPid } = containerPaths(context.config, container.id);
  if (monitorOf(conmonPid, container.id) !== undefined) return;
  if (context.exits.read(container.id) !== undefined) return recordExit(context, container);
  await record(
    context,
    container,
    { exitCode: 255, finishedAtNs: nowNs() },
    'no exit code: conmon ended first',
  );
}

async function record(
  context: RuntimeContext,
  container: Container,
  report: ExitReport,
  message = '',
): Promise<void> {
  // Read before the cgroup goes, and before anybody can see the end.
  const oomKilled = wasOomKilled(context, container);
  const reason = oomKilled
    ? 'OOMKilled'
    : message !== ''
      ? 'Unknown'
      : report.exitCode === 0
        ? 'Completed'
        : 'Error';
  endLog(context, container);
  const { exitCode } = report;
  let { finishedAtNs } = report;
  // Times of files count in ticks of some milliseconds, ours do not.
  if (finishedAtNs < container.startedAtNs) finishedAtNs = container.startedAtNs;
  const ended = { state: 'exited', exitCode, finishedAtNs, reason, message, process: undefined } as const;
  context.store.containers.update(container, ended);
  context.log.info('container ended', { container: container.id, exitCode, reason });
  context.events.container('stopped', container);
  context.cpuRates.forget(container.cgroupPath);
  context.exits.announce(container.id);
  try {
    await cleanUpExited(context, container);
  } catch (error) {
    context.log.warn('clean up ended container', { container: container.id, error: errorText(error) });
  }
}

/** Before anybody can see the end. A log that cannot be written, on a full disk for one, keeps no container from ending. */
function endLog(context: RuntimeContext, { id, logPath }: Container): void {
  if (logPath === '') return;
  try {
    finishLog(logPath, new Date().toISOString().replace(/Z$/, '000000+00:00'));
  } catch (error) {
    context.log.warn('end log', { container: id, path: logPath, error: errorText(error) });
  }
}

/** Removes what conmon and the OCI runtime keep of a container that does not run; fine when it is gone. */
export async function cleanUpExited(context: RuntimeContext, container: Container): Promise<void> {
  const runtime = runtimeFor(context.runtimes, container.runtimeHandler);
  if (container.hasHooks && hasState(runtime, container.id))
    await runRuntime(runtime, ['delete', '--force', container.id]).catch((error: Error) =>
      context.log.warn('delete with hooks', { container: container.id, error: errorText(error) }),
    );
  await cleanUpContainer(runtime, container.id, {
    cgroups: context.cgroups,
    cgroupPath: container.cgroupPath,
  });
  context.exits.forget(container.id);
}
