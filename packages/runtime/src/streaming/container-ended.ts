import type { RuntimeContext } from '../context.ts';
import type { Container } from '../store/records.ts';

/** Resolves when the container has ended, or on `signal`. */
export async function containerEnded(
  context: RuntimeContext,
  container: Container,
  signal: AbortSignal,
): Promise<void> {
  while (container.state === 'running' && !signal.aborted)
    await context.exits.wait(container.id, 60_000, signal);
}
