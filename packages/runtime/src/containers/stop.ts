import { cgroupKill, isAlive, signalProcess } from '@amphipod/linux';
import type { RuntimeContext } from '../context.ts';
import { CriError } from '../errors.ts';
import type { Container } from '../store/records.ts';
import { recordExit, recordLostExit } from './exited.ts';
import { signalNumber } from './signals.ts';

/** How long the kernel may take to end a killed process. */
const killTimeoutMs = 10_000;

/** The stops under way: all who ask for one container share one, with the earliest deadline of theirs (field case LIF-02). */
export class Stops {
  readonly #byContainerId = new Map<string, { deadline: Deadline; done: Promise<void> }>();

  /** Joins the stop of a container, making it end in `graceMs` at the latest, or begins it. */
  async join(
    containerId: string,
    graceMs: number,
    begin: (deadline: Deadline) => Promise<void>,
  ): Promise<void> {
    const running = this.#byContainerId.get(containerId);
    if (running !== undefined) {
      running.deadline.shortenTo(graceMs);
      return running.done;
    }
    const deadline = new Deadline(graceMs);
    const done = begin(deadline);
    this.#byContainerId.set(containerId, { deadline, done });
    try {
      await done;
    } finally {
      this.#byContainerId.delete(containerId);
    }
  }
}

/** A moment that can only come nearer. */
export class Deadline {
  #atMs: number;
  #changed = new AbortController();

  constructor(inMs: number) {
    this.#atMs = performance.now() + inMs;
  }

  get leftMs(): number {
    return this.#atMs - performance.now();
  }

  /** Aborted when the moment has come nearer. */
  get changed(): AbortSignal {
    return this.#changed.signal;
  }

  shortenTo(inMs: number): void {
    const atMs = performance.now() + inMs;
    if (atMs >= this.#atMs) return;
    this.#atMs = atMs;
    this.#changed.abort();
    this.#changed = new AbortController();
  }
}

/**
 * Stops a container: its stop signal, once, then SIGKILL to all of its cgroup after `graceMs` (0: at once). Fine when it does
 * not run.
 */
export async function stopContainerProcess(
  context: RuntimeContext,
  container: Container,
  graceMs: number,
): Promise<void> {
  if (container.state !== 'running' || container.process === undefined) return;
  await context.stops.join(container.id, graceMs, async (deadline) => {
    if (graceMs > 0 && container.process !== undefined) {
      signalProcess(container.process, signalNumber(container.stopSignal));
      if (await endedBy(context, container, deadline)) return;
    }
    cgroupKill(context.cgroups, container.cgroupPath);
    if (container.process !== undefined) signalProcess(container.process, 'SIGKILL');
    if (await endedBy(context, container, new Deadline(killTimeoutMs))) return;
    throw new CriError('deadline-exceeded', `stop container ${container.id}: its process does not end`);
  });
}

async function endedBy(context: RuntimeContext, container: Container, deadline: Deadline): Promise<boolean> {
  for (;;) {
    if (container.state !== 'running') return true;
    if (deadline.leftMs <= 0) return false;
    await context.exits.wait(container.id, Math.min(deadline.leftMs, 500), deadline.changed);
    await recordExit(context, container);
    // Process gone and no report for a whole turn of the loop: conmon will not write one any more.
    if (container.state === 'running' && container.process !== undefined && !isAlive(container.process)) {
      await context.exits.wait(container.id, 500);
      await recordLostExit(context, container);
    }
  }
}
