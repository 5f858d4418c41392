import type { RuntimeContext } from '../../context.ts';
import type { Metric, MetricDescriptor, PodSandboxMetrics } from '../../gen/api.ts';
import type { Container, Sandbox } from '../../store/records.ts';
import { podCgroup } from '../pod-stats.ts';
import {
  containerOnlyMetrics,
  groupMetricsOf,
  type MetricDefinition,
  podOnlyMetrics,
} from './definitions.ts';
import { type ContainerSample, type PodSample, sampleContainer, samplePod } from './sample.ts';

/** Labels that every metric has, in this order; cAdvisor's, as the kubelet publishes them. */
const commonLabels = ['container', 'id', 'image', 'name', 'namespace', 'pod'];

/** The metrics of this machine, put together once: they do not change while the daemon lives. */
export interface MetricSet {
  descriptors: MetricDescriptor[];
  container: MetricDefinition<ContainerSample>[];
  pod: MetricDefinition<PodSample>[];
}

export function metricSet(cgroups: RuntimeContext['cgroups']): MetricSet {
  const group = groupMetricsOf(cgroups);
  const all = [...group, ...containerOnlyMetrics, ...podOnlyMetrics];
  return {
    descriptors: all.map(({ name, help, labels }) => ({
      name,
      help,
      labelKeys: [...commonLabels, ...labels],
    })),
    container: [...group, ...containerOnlyMetrics],
    pod: [...group, ...podOnlyMetrics],
  };
}

/** Metrics of a pod, of its network and of its running containers. */
export function podMetrics(context: RuntimeContext, sandbox: Sandbox): PodSandboxMetrics {
  const cgroup = podCgroup(sandbox);
  const sample = samplePod(context, sandbox, cgroup);
  const labels = labelsOf(sandbox, { cgroupPath: cgroup ?? '/' });
  return {
    podSandboxId: sandbox.id,
    metrics: sample === undefined ? [] : metricsOf(context.metrics.pod, sample, labels),
    containerMetrics: context.store.containersOf(sandbox.id).flatMap((container) => {
      const of = sampleContainer(context, container);
      if (of === undefined) return [];
      const metrics = metricsOf(context.metrics.container, of, labelsOf(sandbox, container));
      return [{ containerId: container.id, metrics }];
    }),
  };
}

function metricsOf<Sample>(
  definitions: MetricDefinition<Sample>[],
  sample: Sample,
  labels: string[],
): Metric[] {
  return definitions.flatMap(({ name, type, read }) =>
    read(sample).map(([value, ...own]): Metric => {
      // Without a time the reader takes the moment of the answer, as api.proto says.
      return { name, timestamp: 0n, metricType: type, labelValues: [...labels, ...own], value: { value } };
    }),
  );
}

/** A pod's own group has neither a container, nor an image, nor a name. */
function labelsOf(sandbox: Sandbox, group: Container | { cgroupPath: string }): string[] {
  const { name: pod = '', namespace = '' } = sandbox.config.metadata ?? {};
  const [container, image, name] =
    'imageName' in group ? [group.config.metadata?.name ?? '', group.imageName, group.id] : ['', '', ''];
  return [container, group.cgroupPath, image, name, namespace, pod];
}
