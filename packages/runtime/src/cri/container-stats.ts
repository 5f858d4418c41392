import type { ContainerStatsRequest, ContainerStatsResponse } from '../gen/api.ts';
import { askForLayers, containerStats as statsOf } from '../stats/container-stats.ts';
import type { Handler } from './call.ts';
import { getContainer } from './lookup.ts';

/** ContainerStats; of a container that does not run there is the writable layer only. @throws CriError not-found */
export const containerStats: Handler<ContainerStatsRequest, ContainerStatsResponse> = async (
  context,
  { containerId },
) => {
  const container = getContainer(context, containerId);
  await askForLayers(context, [container]);
  return { stats: statsOf(context, container) };
};
