import { cgroupKill, isAlive, signalProcess } from '@amphipod/linux';
import type { RuntimeContext } from '../context.ts';
import { CriError } from '../errors.ts';
import type { Container } from '../store/records.ts';
import { recordExit, recordLostExit } from './exited.ts';
import { signalNumber } from './signals.ts';

/** How long the kernel may take to end a killed process. */
const killTimeoutMs = 10_000;

/**
 * Stops a container: its stop signal, then SIGKILL to all of its cgroup after `graceMs` (0: at once). A second call
 * with a shorter grace is not held up by the first (field case LIF-02). Fine when it does not run.
 */
export async function stopContainerProcess(
  context: RuntimeContext,
  container: Container,
  graceMs: number,
): Promise<void> {
  if (container.state !== 'running' || container.process === undefined) return;
  if (graceMs > 0) {
    signalProcess(container.process, signalNumber(container.stopSignal));
    if (await endedWithin(context, container, graceMs)) return;
  }
  cgroupKill(context.cgroups, container.cgroupPath);
  if (container.process !== undefined) signalProcess(container.process, 'SIGKILL');
  if (await endedWithin(context, container, killTimeoutMs)) return;
  throw new CriError('deadline-exceeded', `stop container ${container.id}: its process does not end`);
}

async function endedWithin(
  context: RuntimeContext,
  container: Container,
  timeoutMs: number,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const leftMs = deadline - performance.now();
    if (container.state !== 'running') return true;
    if (leftMs <= 0) return false;
    await context.exits.wait(container.id, Math.min(leftMs, 500));
    await recordExit(context, container);
    // Process gone and no report for a whole turn of the loop: conmon will not write one any more.
    if (container.state === 'running' && container.process !== undefined && !isAlive(container.process)) {
      await context.exits.wait(container.id, 500);
      await recordLostExit(context, container);
    }
  }
}
