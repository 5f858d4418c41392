import type { RuntimeContext } from '../context.ts';
import type {
  ListPodSandboxMetricsRequest,
  ListPodSandboxMetricsResponse,
  PodSandboxMetrics,
} from '../gen/api.ts';
import { podMetrics } from '../stats/metrics/pod-metrics.ts';
import type { Handler } from './call.ts';
import { ofReadySandboxes } from './ready-sandboxes.ts';

/** ListPodSandboxMetrics: of the pods that are ready, read at this moment. */
export const listPodSandboxMetrics: Handler<
  ListPodSandboxMetricsRequest,
  ListPodSandboxMetricsResponse
> = async (context) => ({ podMetrics: await metricsOfReady(context) });

/** Also for StreamPodSandboxMetrics. */
export function metricsOfReady(context: RuntimeContext): Promise<PodSandboxMetrics[]> {
  return ofReadySandboxes(context, context.store.sandboxes.list(), podMetrics);
}
