import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { detectCgroups } from '@amphipod/linux';
import { type Metric, type MetricDescriptor, MetricType } from '../../packages/runtime/src/gen/api.ts';
import { useServer } from './support/fixture.ts';
import { execText, type Pod, podIp, removePod, runPod, startContainer } from './support/pods.ts';

const MiB = 2n ** 20n;

/** The names that cAdvisor has in the kubelet (cri-tools, pkg/validate/pod.go). */
const always = [
  ...['cpu_cfs_periods_total', 'cpu_cfs_throttled_periods_total', 'cpu_cfs_throttled_seconds_total'],
  ...['cpu_system_seconds_total', 'cpu_usage_seconds_total', 'cpu_user_seconds_total'],
  ...['file_descriptors', 'fs_inodes_free', 'fs_inodes_total', 'fs_limit_bytes', 'fs_usage_bytes'],
  ...['last_seen', 'memory_cache', 'memory_failcnt', 'memory_failures_total', 'memory_kernel_usage'],
  ...['memory_mapped_file', 'memory_max_usage_bytes', 'memory_rss', 'memory_swap', 'memory_usage_bytes'],
  ...['memory_working_set_bytes', 'network_receive_bytes_total', 'network_receive_errors_total'],
  ...['network_receive_packets_dropped_total', 'network_receive_packets_total'],
  ...['network_transmit_bytes_total', 'network_transmit_errors_total', 'network_transmit_packets_total'],
  ...['network_transmit_packets_dropped_total', 'oom_events_total', 'processes', 'sockets'],
  ...['spec_cpu_period', 'spec_cpu_shares', 'spec_memory_limit_bytes', 'spec_memory_swap_limit_bytes'],
  ...['spec_memory_reservation_limit_bytes', 'start_time_seconds', 'threads', 'threads_max', 'ulimits_soft'],
  'spec_cpu_quota',
];
/** Without values while the container has not used a block device. */
const ofDevices = [
  ...['blkio_device_usage_total', 'fs_reads_bytes_total', 'fs_reads_total'],
  ...['fs_writes_bytes_total', 'fs_writes_total'],
];
const ofVersion2 = ['cpu', 'memory', 'io'].flatMap((resource) => [
  `pressure_${resource}_stalled_seconds_total`,
  `pressure_${resource}_waiting_seconds_total`,
]);

describe('metrics with amphipod', () => {
  const fixture = useServer('amphipod');

  test('descriptors: every name that this machine can give, once, with help and labels', async () => {
    const { descriptors } = await fixture.cri.listMetricDescriptors();
    const cgroups = detectCgroups();
    const hasHugePages = cgroups.version === 2 || cgroups.mounts.has('hugetlb');
    const expected = [
      ...always,
      ...ofDevices,
      ...(cgroups.version === 2 ? ofVersion2 : []),
      ...(hasHugePages ? ['hugetlb_usage_bytes'] : []),
      ...(hasHugePages && cgroups.version === 1 ? ['hugetlb_max_usage_bytes'] : []),
    ].map((name) => `container_${name}`);
    assert.deepEqual(descriptors.map(({ name }) => name).toSorted(), expected.toSorted());
    for (const { help, labelKeys } of descriptors) {
      assert.ok(help.length > 0);
      assert.deepEqual(labelKeys.slice(0, 6), ['container', 'id', 'image', 'name', 'namespace', 'pod']);
    }
    assert.deepEqual(
      (await fixture.cri.listMetricDescriptors()).descriptors,
      descriptors,
      'the same each time',
    );
  });

  test('values: of a pod and its container, right now, with a label value for each key', async () => {
    const resources = {
      cpuPeriod: 100_000n,
      cpuQuota: 20_000n,
      cpuShares: 1024n,
      memoryLimitInBytes: 64n * MiB,
      memorySwapLimitInBytes: 64n * MiB,
    };
    const pod = await runPod(fixture.cri, { metadata: { name: 'metrics', namespace: 'space' } });
    const id = await startContainer(fixture.cri, pod, {
      image: fixture.image,
      metadata: { name: 'measured' },
      command: ['sh', '-c', 'trap "exit 0" TERM; httpd -p 8080 -h /var/www; sleep 1000000 & wait'],
      linux: { resources },
    });
    await execText(fixture.cri, id, ['sh', '-c', 'dd if=/dev/zero of=/file bs=1M count=5; sync']);
    const nowSeconds = BigInt(Math.floor(Date.now() / 1000));
    const { descriptors } = await fixture.cri.listMetricDescriptors();
    const { metrics, container } = await metricsOf(pod, id);
    assertLabels([...metrics, ...container], descriptors);
    const present = new Set([...metrics, ...container].map(({ name }) => name));
    for (const name of always) assert.ok(present.has(`container_${name}`), name);

    const value = valueIn(container, descriptors);
    assert.equal(value('spec_cpu_period'), 100_000n);
    assert.equal(value('spec_cpu_quota'), 20_000n);
    assert.equal(value('spec_memory_limit_bytes'), 64n * MiB);
    assert.ok(value('spec_cpu_shares')! > 900n && value('spec_cpu_shares')! < 1100n);
    // sh, httpd and sleep; httpd listens.
    assert.equal(value('processes'), 3n);
    assert.equal(value('threads'), 3n);
    assert.equal(value('sockets'), 1n);
    assert.ok(value('file_descriptors')! >= 9n);
    assert.ok(value('fs_usage_bytes')! >= 5n * MiB);
    assert.ok(value('fs_inodes_total')! > value('fs_inodes_free')!);
    assert.ok(value('memory_usage_bytes')! >= value('memory_working_set_bytes')!);
    assert.ok(value('memory_max_usage_bytes')! >= value('memory_usage_bytes')!);
    assert.ok(value('last_seen')! >= nowSeconds && value('last_seen')! <= nowSeconds + 10n);
    assert.ok(value('start_time_seconds')! <= nowSeconds && value('start_time_seconds')! > nowSeconds - 60n);
    assert.equal(value('oom_events_total'), 0n);
    assert.ok(value('memory_failures_total', { failure_type: 'pgfault', scope: 'hierarchy' })! > 0n);
    assert.ok(value('ulimits_soft', { ulimit: 'max_open_files' })! > 0n);
    const labels = labelsOf(container.find(({ name }) => name === 'container_processes')!, descriptors);
    assert.deepEqual(
      [labels.container, labels.image, labels.name, labels.namespace, labels.pod],
      ['measured', fixture.image.name, id, 'space', 'metrics'],
    );
    assert.match(labels.id!, new RegExp(`^/.*${id}`));
    const cpu = container.find(({ name }) => name === 'container_cpu_usage_seconds_total')!;
    assert.equal(labelsOf(cpu, descriptors).cpu, 'total');
    assert.equal(cpu.metricType, MetricType.COUNTER);

    const ofPod = valueIn(metrics, descriptors);
    assert.equal(ofPod('processes'), 3n);
    const received = ofPod('network_receive_bytes_total', { interface: 'eth0' })!;
    await (await fetch(`http://${await podIp(fixture.cri, pod)}:8080/`)).text();
    const later = valueIn((await metricsOf(pod, id)).metrics, descriptors);
    assert.ok(later('network_receive_bytes_total', { interface: 'eth0' })! > received);
    assert.ok(later('network_transmit_packets_total', { interface: 'eth0' })! > 0n);
    await removePod(fixture.cri, pod);
  });

  test('only pods that are ready, and the stream says the same', async () => {
    const pod = await runPod(fixture.cri);
    const stopped = await runPod(fixture.cri);
    await fixture.cri.stopPodSandbox({ podSandboxId: stopped.id });
    const { podMetrics } = await fixture.cri.listPodSandboxMetrics();
    assert.deepEqual(
      podMetrics.map(({ podSandboxId }) => podSandboxId),
      [pod.id],
    );
    assert.deepEqual(podMetrics[0]!.containerMetrics, []);
    const streamed = [];
    for await (const { podSandboxMetrics } of fixture.cri.streamPodSandboxMetrics())
      streamed.push(...podSandboxMetrics);
    assert.deepEqual(
      streamed.map(({ podSandboxId, metrics }) => [podSandboxId, metrics.map(({ name }) => name)]),
      podMetrics.map(({ podSandboxId, metrics }) => [podSandboxId, metrics.map(({ name }) => name)]),
    );
    for (const one of [pod, stopped]) await removePod(fixture.cri, one);
    assert.deepEqual((await fixture.cri.listPodSandboxMetrics()).podMetrics, []);
  });

  async function metricsOf(pod: Pod, containerId: string) {
    const { podMetrics } = await fixture.cri.listPodSandboxMetrics();
    const of = podMetrics.find(({ podSandboxId }) => podSandboxId === pod.id)!;
    const container = of.containerMetrics.find((one) => one.containerId === containerId)!;
    return { metrics: of.metrics, container: container.metrics };
  }
});

function assertLabels(metrics: Metric[], descriptors: MetricDescriptor[]): void {
  for (const { name, labelValues, value } of metrics) {
    const descriptor = descriptors.find((one) => one.name === name);
    assert.ok(descriptor, `${name} has no descriptor`);
    assert.equal(labelValues.length, descriptor.labelKeys.length, name);
    assert.ok(value !== undefined, name);
  }
}

function labelsOf(metric: Metric, descriptors: MetricDescriptor[]): Record<string, string> {
  const { labelKeys } = descriptors.find(({ name }) => name === metric.name)!;
  return Object.fromEntries(labelKeys.map((key, i) => [key, metric.labelValues[i]!]));
}

/** Looks a value up by the end of the metric's name, and by labels where there are several. */
function valueIn(metrics: Metric[], descriptors: MetricDescriptor[]) {
  return (name: string, labels: Record<string, string> = {}): bigint | undefined =>
    metrics
      .filter((metric) => metric.name === `container_${name}`)
      .find((metric) => {
        const own = labelsOf(metric, descriptors);
        return Object.entries(labels).every(([key, value]) => own[key] === value);
      })?.value?.value;
}
