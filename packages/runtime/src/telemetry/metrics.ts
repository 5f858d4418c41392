import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { CallStart, Observer, Step } from './telemetry.ts';

/** Numbers that are read when somebody asks for the metrics. */
export interface MetricSources {
  version: string;
  runtime: string;
  cgroupDriver: string;
  /** By state: `ready`, `running`. */
  sandboxes(): Record<string, number>;
  containers(): Record<string, number>;
  /** Work that is under way or waits, by name: `image pulls`. */
  queues(): Record<string, number>;
}

/** From a millisecond to half a minute: a list, a start, a pull. */
const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** The daemon's own metrics, in the names and units of Prometheus (seconds, bytes, `_total`). */
export class Metrics implements Observer {
  readonly registry = new Registry();
  readonly #calls = this.#histogram('amphipod_cri_call_seconds', 'Time that calls of CRI took.', [
    'method',
    'code',
  ]);
  readonly #steps = this.#histogram('amphipod_cri_step_seconds', 'Time that the steps of a call took.', [
    'step',
  ]);
  readonly #stepErrors = new Counter({
    name: 'amphipod_cri_step_errors_total',
    help: 'Steps that failed.',
    labelNames: ['step'],
    registers: [this.registry],
  });
  readonly #underWay = this.#gauge('amphipod_cri_calls_under_way', 'Calls of CRI that have not ended yet.', [
    'method',
  ]);

  constructor(sources: MetricSources) {
    collectDefaultMetrics({ register: this.registry });
    const { version, runtime, cgroupDriver } = sources;
    this.#gauge('amphipod_info', 'Always 1; what this daemon is.', [
      'version',
      'runtime',
      'cgroup_driver',
    ]).set({ version, runtime, cgroup_driver: cgroupDriver }, 1);
    this.#sampled('amphipod_pod_sandboxes', 'Pod sandboxes.', { label: 'state', read: sources.sandboxes });
    this.#sampled('amphipod_containers', 'Containers.', { label: 'state', read: sources.containers });
    this.#sampled('amphipod_queue_length', 'Work that is under way or waits.', {
      label: 'queue',
      read: sources.queues,
    });
  }

  begin({ method }: CallStart) {
    const startMs = performance.now();
    this.#underWay.inc({ method });
    return {
      step: ({ name: step, startMs, endMs, error }: Step) => {
        this.#steps.observe({ step }, (endMs - startMs) / 1000);
        if (error !== undefined) this.#stepErrors.inc({ step });
      },
      end: (code: string) => {
        this.#underWay.dec({ method });
        this.#calls.observe({ method, code }, (performance.now() - startMs) / 1000);
      },
    };
  }

  #histogram(name: string, help: string, labelNames: string[]) {
    return new Histogram({ name, help, labelNames, buckets, registers: [this.registry] });
  }

  #gauge(name: string, help: string, labelNames: string[]) {
    return new Gauge({ name, help, labelNames, registers: [this.registry] });
  }

  #sampled(
    name: string,
    help: string,
    { label, read }: { label: string; read: () => Record<string, number> },
  ): void {
    new Gauge({
      name,
      help,
      labelNames: [label],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const [value, count] of Object.entries(read())) this.set({ [label]: value }, count);
      },
    });
  }
}
