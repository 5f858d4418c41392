import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { AgentMonitor } from './agent-monitor.ts';

/** From one lease more to thousands of nodes. */
const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** The agent's own metrics, in the names and units of Prometheus. */
export function agentMetrics(monitor: AgentMonitor): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const gauge = (name: string, help: string, read: () => number | undefined) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        const value = read();
        // Without a value the series is left out.
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });
  const seconds = (at: string | undefined) => (at === undefined ? undefined : Date.parse(at) / 1000);
  gauge('amphipod_agent_healthy', '1 when the agent works.', () =>
    Number(monitor.health().unhealthy.length === 0),
  );
  gauge(
    'amphipod_agent_ready',
    '1 when the node has its lease and the kernel is as the leases want it.',
    () => Number(monitor.health().unready.length === 0),
  );
  gauge('amphipod_agent_leases', 'Subnet leases of all nodes.', () => monitor.leases().known);
  gauge(
    'amphipod_agent_leases_passed_over',
    'Leases that nothing can be done for.',
    () => monitor.leases().passedOver,
  );
  gauge('amphipod_agent_lease_renewed_timestamp_seconds', "When this node's lease was last renewed.", () =>
    seconds(monitor.summary().store.lastRenewedAt),
  );
  gauge(
    'amphipod_agent_last_good_sync_timestamp_seconds',
    'When a look at the kernel last ended with everything right.',
    () => seconds(monitor.summary().sync.lastGoodAt),
  );
  gauge('amphipod_agent_store_up', '1 when the last call of the datastore was answered.', () =>
    Number(monitor.summary().store.error === undefined),
  );
  addCounters(registry, monitor);
  const durations = new Histogram({
    name: 'amphipod_agent_sync_seconds',
    help: 'Time that looks at the kernel took, with what they mended.',
    buckets,
    registers: [registry],
  });
  monitor.onSync = ({ durationMs }) => durations.observe(durationMs / 1000);
  return registry;
}

/** The counts are kept by the monitor. */
function addCounters(registry: Registry, monitor: AgentMonitor): void {
  const counter = (
    name: string,
    help: string,
    read: () => Record<string, number>,
    labelNames: string[] = [],
  ) =>
    new Counter({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset();
        for (const [value, count] of Object.entries(read())) {
          const [label] = labelNames;
          this.inc(label === undefined ? {} : { [label]: value }, count);
        }
      },
    });
  counter(
    'amphipod_agent_syncs_total',
    'Looks at the kernel.',
    () => {
      const { count, failures } = monitor.summary().sync;
      return { ok: count - failures, failed: failures };
    },
    ['result'],
  );
  counter(
    'amphipod_agent_mended_total',
    'Differences between the kernel and what the leases want that were mended.',
    () => monitor.summary().sync.mended,
    ['kind'],
  );
  counter('amphipod_agent_store_errors_total', 'Calls of the datastore that failed.', () => ({
    all: monitor.summary().store.errors,
  }));
}
