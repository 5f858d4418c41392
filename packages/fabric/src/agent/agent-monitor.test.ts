import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FabricError } from '../errors.ts';
import { agentMetrics } from './agent-metrics.ts';
import { AgentMonitor } from './agent-monitor.ts';
import type { RunningOverlay } from './overlay-state.ts';

const mended = { rules: 0, device: 0, peer: 0, route: 0 };
const cut = new FabricError('unavailable', 'get "/a": etcd does not answer');
const DAY_MS = 86_400_000;

/** A monitor with a clock that stands, and as much of an overlay as it looks at. */
function setUp({ expires = true } = {}) {
  const clock = { now: Date.UTC(2026, 0, 1) };
  const monitor = new AgentMonitor({ datastore: 'etcd', prefix: '/p', now: () => clock.now });
  const wanted = { ids: () => ['a', 'b'], whyNot: (name: string) => (name === 'b' ? ['it overlaps'] : []) };
  const overlay = { overlay: { expires, wanted } } as unknown as RunningOverlay;
  return { clock, monitor, overlay };
}

test('an agent that waits is healthy and not ready; one that runs is both; one that ended is neither', () => {
  const { monitor, overlay } = setUp();
  monitor.failed(cut);
  monitor.waiting(cut.message);
  assert.deepEqual(monitor.health(), { unhealthy: [], unready: [`waiting: ${cut.message}`] });
  monitor.renewed();
  monitor.synced({ mended, durationMs: 1 });
  monitor.running(overlay);
  assert.deepEqual(monitor.health(), { unhealthy: [], unready: [] });
  monitor.ended('another node has the lease');
  assert.deepEqual(monitor.health().unhealthy, ['ended: another node has the lease']);
  assert.deepEqual(monitor.health().unready, ['ended: another node has the lease']);
});

test('a look at the kernel that fails makes it unready, and three minutes without a good one unhealthy', () => {
  const { clock, monitor, overlay } = setUp();
  monitor.renewed();
  monitor.synced({ mended, durationMs: 1 });
  monitor.running(overlay);
  monitor.failed(new Error('list links: ENOBUFS'));
  assert.deepEqual(monitor.health(), {
    unhealthy: [],
    unready: ['the last look at the kernel failed: list links: ENOBUFS'],
  });
  clock.now += 180_001;
  assert.deepEqual(monitor.health().unhealthy, ['no look at the kernel has ended well for 180 seconds']);
  monitor.synced({ mended, durationMs: 1 });
  assert.deepEqual(monitor.health(), { unhealthy: [], unready: [] });
  const { count, failures, error } = monitor.summary().sync;
  assert.deepEqual({ count, failures, error }, { count: 3, failures: 1, error: undefined });
});

test('a datastore that is gone is told of, and makes it unready when the lease has run out', () => {
  const { clock, monitor, overlay } = setUp();
  monitor.renewed();
  monitor.running(overlay);
  monitor.connection(cut);
  assert.equal(monitor.summary().store.error, cut.message);
  assert.equal(monitor.summary().store.errors, 1);
  assert.deepEqual(monitor.health().unready, []);
  for (let minutes = 0; minutes <= DAY_MS / 60_000; minutes++) {
    clock.now += 60_000;
    monitor.synced({ mended, durationMs: 1 });
  }
  assert.match(monitor.health().unready.join(), /the lease has run out/);
  assert.deepEqual(monitor.health().unhealthy, []);
  monitor.connection(undefined);
  assert.equal(monitor.summary().store.error, undefined);
  monitor.renewed();
  assert.deepEqual(monitor.health().unready, []);
});

test('a reservation does not run out', () => {
  const { clock, monitor, overlay } = setUp({ expires: false });
  monitor.running(overlay);
  clock.now += 2 * DAY_MS;
  monitor.synced({ mended, durationMs: 1 });
  assert.deepEqual(monitor.health().unready, []);
});

test('what was mended is counted by kind; metrics are read from the same numbers', async () => {
  const { monitor, overlay } = setUp();
  const registry = agentMetrics(monitor);
  const lines = async () => (await registry.metrics()).split('\n');
  assert.ok((await lines()).includes('amphipod_agent_ready 0'));
  monitor.renewed();
  monitor.synced({ mended: { ...mended, peer: 2, rules: 1 }, durationMs: 4 });
  monitor.synced({ mended: { ...mended, peer: 1 }, durationMs: 4 });
  monitor.running(overlay);
  assert.deepEqual(monitor.summary().sync.mended, { peer: 3, rules: 1 });
  monitor.failed(cut);
  const text = await lines();
  for (const line of [
    'amphipod_agent_healthy 1',
    'amphipod_agent_ready 1',
    'amphipod_agent_leases 2',
    'amphipod_agent_leases_passed_over 1',
    'amphipod_agent_store_up 0',
    'amphipod_agent_store_errors_total 1',
    'amphipod_agent_syncs_total{result="ok"} 2',
    'amphipod_agent_mended_total{kind="peer"} 3',
    'amphipod_agent_mended_total{kind="rules"} 1',
    'amphipod_agent_sync_seconds_count 2',
    `amphipod_agent_last_good_sync_timestamp_seconds ${Date.UTC(2026, 0, 1) / 1000}`,
  ])
    assert.ok(
      text.includes(line),
      `${line} in\n${text.filter((one) => one.startsWith('amphipod')).join('\n')}`,
    );
});
