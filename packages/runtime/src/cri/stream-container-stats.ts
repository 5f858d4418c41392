import type { StreamContainerStatsRequest, StreamContainerStatsResponse } from '../gen/api.ts';
import { batches } from './batches.ts';
import type { StreamHandler } from './call.ts';
import { statsOfRunning } from './list-container-stats.ts';

/** StreamContainerStats: ListContainerStats in parts. */
export const streamContainerStats: StreamHandler<StreamContainerStatsRequest, StreamContainerStatsResponse> =
  async function* (context, { filter }) {
    for (const containerStats of batches(await statsOfRunning(context, filter))) yield { containerStats };
  };
