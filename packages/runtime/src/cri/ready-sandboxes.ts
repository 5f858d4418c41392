import type { RuntimeContext } from '../context.ts';
import { askForLayers } from '../stats/container-stats.ts';
import { inTurns } from '../stats/in-turns.ts';
import type { Sandbox } from '../store/records.ts';

/** Figures of those of `sandboxes` that are ready. One that is stopped while others have their turn is left out. */
export async function ofReadySandboxes<Figures>(
  context: RuntimeContext,
  sandboxes: Sandbox[],
  read: (context: RuntimeContext, sandbox: Sandbox) => Figures,
): Promise<Figures[]> {
  const ready = sandboxes.filter(({ state }) => state === 'ready');
  await askForLayers(
    context,
    ready.flatMap(({ id }) => context.store.containersOf(id)),
  );
  return inTurns(ready, (sandbox) => (sandbox.state === 'ready' ? read(context, sandbox) : undefined));
}
