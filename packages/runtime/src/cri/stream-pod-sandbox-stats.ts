import type { StreamPodSandboxStatsRequest, StreamPodSandboxStatsResponse } from '../gen/api.ts';
import { batches } from './batches.ts';
import type { StreamHandler } from './call.ts';
import { statsOfReady } from './list-pod-sandbox-stats.ts';

/** StreamPodSandboxStats: ListPodSandboxStats in parts. */
export const streamPodSandboxStats: StreamHandler<
  StreamPodSandboxStatsRequest,
  StreamPodSandboxStatsResponse
> = async function* (context, { filter }) {
  for (const podSandboxStats of batches(await statsOfReady(context, filter))) yield { podSandboxStats };
};
