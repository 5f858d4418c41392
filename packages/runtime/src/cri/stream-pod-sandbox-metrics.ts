import type { StreamPodSandboxMetricsRequest, StreamPodSandboxMetricsResponse } from '../gen/api.ts';
import { batches } from './batches.ts';
import type { StreamHandler } from './call.ts';
import { metricsOfReady } from './list-pod-sandbox-metrics.ts';

/** StreamPodSandboxMetrics: ListPodSandboxMetrics in parts. */
export const streamPodSandboxMetrics: StreamHandler<
  StreamPodSandboxMetricsRequest,
  StreamPodSandboxMetricsResponse
> = async function* (context) {
  for (const podSandboxMetrics of batches(await metricsOfReady(context))) yield { podSandboxMetrics };
};
