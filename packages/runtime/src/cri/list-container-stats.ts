import type { RuntimeContext } from '../context.ts';
import type {
  ContainerStats,
  ContainerStatsFilter,
  ListContainerStatsRequest,
  ListContainerStatsResponse,
} from '../gen/api.ts';
import { askForLayers, runningContainerStats } from '../stats/container-stats.ts';
import { inTurns } from '../stats/in-turns.ts';
import type { Handler } from './call.ts';
import { selectContainers } from './select.ts';

/** ListContainerStats: of the containers that run. One that ends meanwhile is left out and fails nothing. */
export const listContainerStats: Handler<ListContainerStatsRequest, ListContainerStatsResponse> = async (
  context,
  { filter },
) => ({ stats: await statsOfRunning(context, filter) });

/** Also for StreamContainerStats. */
export async function statsOfRunning(
  context: RuntimeContext,
  filter: ContainerStatsFilter | undefined,
): Promise<ContainerStats[]> {
  const containers = selectContainers(context, filter).filter(({ state }) => state === 'running');
  await askForLayers(context, containers);
  return inTurns(containers, (container) => runningContainerStats(context, container));
}
