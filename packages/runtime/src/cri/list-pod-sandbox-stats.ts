import type { RuntimeContext } from '../context.ts';
import type {
  ListPodSandboxStatsRequest,
  ListPodSandboxStatsResponse,
  PodSandboxStats,
  PodSandboxStatsFilter,
} from '../gen/api.ts';
import { podStats } from '../stats/pod-stats.ts';
import type { Handler } from './call.ts';
import { ofReadySandboxes } from './ready-sandboxes.ts';
import { selectSandboxes } from './select.ts';

/** ListPodSandboxStats: of the pods that are ready. */
export const listPodSandboxStats: Handler<ListPodSandboxStatsRequest, ListPodSandboxStatsResponse> = async (
  context,
  { filter },
) => ({ stats: await statsOfReady(context, filter) });

/** Also for StreamPodSandboxStats. */
export function statsOfReady(
  context: RuntimeContext,
  filter: PodSandboxStatsFilter | undefined,
): Promise<PodSandboxStats[]> {
  return ofReadySandboxes(context, selectSandboxes(context, filter), podStats);
}
