import type { RuntimeContext } from '../context.ts';
import type {
  ListPodSandboxStatsRequest,
  ListPodSandboxStatsResponse,
  PodSandboxStats,
  PodSandboxStatsFilter,
} from '../gen/api.ts';
import { askForLayers } from '../stats/container-stats.ts';
import { inTurns } from '../stats/in-turns.ts';
import { podStats } from '../stats/pod-stats.ts';
import type { Handler } from './call.ts';
import { selectSandboxes } from './select.ts';

/** ListPodSandboxStats: of the pods that are ready. */
export const listPodSandboxStats: Handler<ListPodSandboxStatsRequest, ListPodSandboxStatsResponse> = async (
  context,
  { filter },
) => ({ stats: await statsOfReady(context, filter) });

/** Also for StreamPodSandboxStats. */
export async function statsOfReady(
  context: RuntimeContext,
  filter: PodSandboxStatsFilter | undefined,
): Promise<PodSandboxStats[]> {
  const sandboxes = selectSandboxes(context, filter).filter(({ state }) => state === 'ready');
  await askForLayers(
    context,
    sandboxes.flatMap(({ id }) => context.store.containersOf(id)),
  );
  // Whoever was stopped while others had their turn is left out.
  return inTurns(sandboxes, (sandbox) =>
    sandbox.state === 'ready' ? podStats(context, sandbox) : undefined,
  );
}
