import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { type Crictl, crictlFor, findCrictl, lacksCrictl } from './support/crictl.ts';
import { useServer } from './support/fixture.ts';
import { type Pod, removePod, runPod, startContainer } from './support/pods.ts';
import { eventually } from './support/wait.ts';

const program = findCrictl();

interface Value {
  value: string;
}

interface Stats {
  attributes: { id: string; metadata: { name: string } };
  cpu: { usageCoreNanoSeconds: Value };
  memory: { workingSetBytes: Value; availableBytes: Value };
  writableLayer: { usedBytes: Value };
}

// containerd 1.6 has half of these RPCs; crictl against it is in crictl.test.ts.
describe('crictl asks amphipod for figures', { skip: lacksCrictl }, () => {
  const fixture = useServer('amphipod');
  const withContainer = async (work: (crictl: Crictl, id: string, pod: Pod) => Promise<void>) => {
    const pod = await runPod(fixture.cri, { metadata: { name: 'figures' } });
    const resources = { memoryLimitInBytes: 64n << 20n, cpuShares: 512n };
    const id = await startContainer(fixture.cri, pod, { image: fixture.image, linux: { resources } });
    await work(crictlFor(program!, fixture.server), id, pod);
    await removePod(fixture.cri, pod);
  };

  test('stats', () =>
    withContainer(async (crictl, id) => {
      const { stats } = await crictl.json<{ stats: Stats[] }>('stats');
      assert.deepEqual(
        stats.map(({ attributes }) => [attributes.id, attributes.metadata.name]),
        [[id, 'main']],
      );
      const { cpu, memory, writableLayer } = stats[0]!;
      for (const { value } of [cpu.usageCoreNanoSeconds, memory.workingSetBytes, writableLayer.usedBytes])
        assert.ok(BigInt(value) > 0n, value);
      assert.equal(BigInt(memory.availableBytes.value) + BigInt(memory.workingSetBytes.value), 64n << 20n);
      assert.match(
        await crictl('stats', id),
        new RegExp(`^${id.slice(0, 13)} +main +[\\d.]+ +[\\d.]+[kM]?B `, 'm'),
      );
      const none = await crictl.json<{ stats: Stats[] }>('stats', '--id', 'f'.repeat(64));
      assert.deepEqual(none.stats ?? [], []);
    }));

  test('statsp', () =>
    withContainer(async (crictl, id, pod) => {
      interface PodStats {
        attributes: { id: string };
        linux: { network: { defaultInterface: { name: string } }; containers: Stats[] };
      }
      const { stats } = await crictl.json<{ stats: PodStats[] }>('statsp');
      assert.deepEqual(
        stats.map(({ attributes }) => attributes.id),
        [pod.id],
      );
      assert.equal(stats[0]!.linux.network.defaultInterface.name, 'eth0');
      assert.deepEqual(
        stats[0]!.linux.containers.map(({ attributes }) => attributes.id),
        [id],
      );
      assert.match(
        await crictl('statsp'),
        new RegExp(`^figures +${pod.id.slice(0, 13)} +[\\d.]+ +[\\d.]+[kM]?B`, 'm'),
      );
    }));

  test('metricdescs and metricsp', () =>
    withContainer(async (crictl, id, pod) => {
      const { descriptors } = await crictl.json<{ descriptors: { name: string; labelKeys: string[] }[] }>(
        'metricdescs',
      );
      const keys = descriptors.find(({ name }) => name === 'container_processes')!.labelKeys;
      interface Metrics {
        name: string;
        labelValues: string[];
        value: Value;
      }
      const { podMetrics } = await crictl.json<{
        podMetrics: {
          podSandboxId: string;
          containerMetrics: { containerId: string; metrics: Metrics[] }[];
        }[];
      }>('metricsp');
      assert.deepEqual(
        podMetrics.map(({ podSandboxId }) => podSandboxId),
        [pod.id],
      );
      const [container] = podMetrics[0]!.containerMetrics;
      assert.equal(container!.containerId, id);
      const processes = container!.metrics.find(({ name }) => name === 'container_processes')!;
      assert.equal(processes.value.value, '2');
      assert.equal(processes.labelValues[keys.indexOf('pod')], 'figures');
    }));

  test('update', () =>
    withContainer(async (crictl, id) => {
      await crictl('update', '--cpu-share', '2048', '--memory', `${96 << 20}`, id);
      const { status } = await crictl.json<{
        status: { resources: { linux: { cpuShares: string; memoryLimitInBytes: string } } };
      }>('inspect', id);
      const { cpuShares, memoryLimitInBytes } = status.resources.linux;
      assert.deepEqual([cpuShares, memoryLimitInBytes], ['2048', `${96 << 20}`]);
      assert.match(
        await crictl.failing('update', '--cpu-quota', '5', id),
        /linux\.cpu_quota 5: must be at least 1000/,
      );
    }));

  test('events', async () => {
    const crictl = spawn(program!, ['--runtime-endpoint', `unix://${fixture.server.socket}`, 'events'], {
      env: { ...process.env, CRI_CONFIG_FILE: '/dev/null' },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let text = '';
    crictl.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    try {
      // It does not say when it listens.
      const pods: Pod[] = [];
      await eventually(
        'an event',
        async () => {
          pods.push(await runPod(fixture.cri));
          return text !== '';
        },
        { everyMs: 200 },
      );
      for (const pod of pods) await removePod(fixture.cri, pod);
      await eventually('the last event', () => {
        const deleted = pods.filter(({ id }) =>
          new RegExp(`"${id}"[^{]*"CONTAINER_DELETED_EVENT"`).test(text),
        );
        return deleted.length === pods.length;
      });
    } finally {
      crictl.kill();
      await once(crictl, 'close');
    }
  });

  test('checkpoint and update-runtime-config', () =>
    withContainer(async (crictl, id) => {
      await crictl('update-runtime-config', '--pod-cidr', '10.201.0.0/24');
      const text = await crictl.failing('checkpoint', '--export', 'relative.tar', id);
      assert.match(text, /criu is not installed|must be absolute/);
    }));
});
