import type { RuntimeContext } from '../context.ts';
import type {
  ListPodSandboxMetricsRequest,
  ListPodSandboxMetricsResponse,
  PodSandboxMetrics,
} from '../gen/api.ts';
import { askForLayers } from '../stats/container-stats.ts';
import { inTurns } from '../stats/in-turns.ts';
import { podMetrics } from '../stats/metrics/pod-metrics.ts';
import type { Handler } from './call.ts';
import { selectSandboxes } from './select.ts';

/** ListPodSandboxMetrics: of the pods that are ready, read at this moment. */
export const listPodSandboxMetrics: Handler<
  ListPodSandboxMetricsRequest,
  ListPodSandboxMetricsResponse
> = async (context) => ({ podMetrics: await metricsOfReady(context) });

/** Also for StreamPodSandboxMetrics. */
export async function metricsOfReady(context: RuntimeContext): Promise<PodSandboxMetrics[]> {
  const sandboxes = selectSandboxes(context, undefined).filter(({ state }) => state === 'ready');
  await askForLayers(
    context,
    sandboxes.flatMap(({ id }) => context.store.containersOf(id)),
  );
  return inTurns(sandboxes, (sandbox) =>
    sandbox.state === 'ready' ? podMetrics(context, sandbox) : undefined,
  );
}
