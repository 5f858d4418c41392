import type { RuntimeContext } from '../context.ts';
import { errorText } from '../errors.ts';
import type { MetricSources } from '../telemetry/metrics.ts';
import { runtimeVersion } from '../version.ts';

/**
 * Starts metrics and traces, as far as the configuration asks for them: their libraries are only loaded then. A node
 * whose metrics port is taken still runs pods, so that is an error in the log and no more.
 */
export async function observeCalls(context: RuntimeContext): Promise<AsyncDisposable> {
  const { config, log, telemetry } = context;
  const { metricsAddress, otlpEndpoint } = config;
  await using stack = new AsyncDisposableStack();
  if (metricsAddress !== '') {
    const { Metrics } = await import('../telemetry/metrics.ts');
    const { serveMetrics } = await import('../telemetry/metrics-server.ts');
    const metrics = new Metrics(sourcesOf(context));
    telemetry.add(metrics);
    try {
      const server = stack.use(await serveMetrics(metricsAddress, metrics.registry));
      log.info('metrics', { address: metricsAddress, port: server.port });
    } catch (error) {
      log.error(`serve metrics at ${metricsAddress}: ${errorText(error)}`);
    }
  }
  if (otlpEndpoint !== '') {
    const { Traces } = await import('../telemetry/traces.ts');
    telemetry.add(stack.use(new Traces(otlpEndpoint, runtimeVersion)));
  }
  return stack.move();
}

function sourcesOf({ store, pulls, cni, locks, runtimes, cgroupDriver }: RuntimeContext): MetricSources {
  return {
    version: runtimeVersion,
    runtime: runtimes.default.name,
    cgroupDriver,
    sandboxes: () => countByState(store.sandboxes.list()),
    containers: () => countByState(store.containers.list()),
    queues: () => ({
      'image pulls': pulls.list().length,
      'network plugins': cni.callsUnderWay().length,
      'calls that wait for another': locks.waiting,
    }),
  };
}

function countByState(records: readonly { state: string }[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { state } of records) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}
