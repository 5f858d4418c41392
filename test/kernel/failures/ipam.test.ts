/** IPAM plugins: each step of ADD fails, and nothing is left. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { runDhcpDaemon } from '@amphipod/plugins';
import { DhcpServer } from '../../conformance/lib/dhcp-server.ts';
import { World } from '../../conformance/lib/world.ts';
import { failEveryStep } from './fail-every-step.ts';

const mayStay = { '^files\\..*(lock|last_reserved_ip\\.\\d)': 'the state of the pool' };

describe('host-local', () => {
  for (const isFirst of [true, false]) {
    test(`${isFirst ? 'the first pod' : 'a later pod'}: each step fails, and nothing is left`, async () => {
      using world = new World();
      const steps = await failEveryStep({
        world,
        netns: world.netns('pod'),
        plugins: [
          {
            type: 'host-local',
            ipam: {
              type: 'host-local',
              ranges: [[{ subnet: '10.99.0.0/24' }], [{ subnet: 'fd00:99::/64' }]],
              dataDir: world.dataDir,
            },
          },
        ],
        isFirst,
        mayStay,
      });
      // Of each address its file and what was given out last; of the index an entry.
      assert.equal(steps.filter((step) => step.startsWith('renameSync')).length, 2, steps.join('\n'));
      assert.ok(steps.length >= 8, steps.join('\n'));
      assert.deepEqual(world.reservations('testnet'), []);
    });
  }
});

test('static: has no step that could fail', async () => {
  using world = new World();
  const steps = await failEveryStep({
    world,
    netns: world.netns('pod'),
    plugins: [{ type: 'static', ipam: { type: 'static', addresses: [{ address: '10.99.0.5/24' }] } }],
  });
  assert.deepEqual(steps, []);
});

test('dhcp: a daemon whose every step fails leaves no lease', async () => {
  using world = new World();
  await using server = new DhcpServer(world);
  await server.start();
  const socketPath = join(world.makeDir('state'), 'dhcp.sock');
  const stop = new AbortController();
  const daemon = runDhcpDaemon({ socketPath, signal: stop.signal, log: () => {} });
  try {
    for (let i = 0; i < 500 && !existsSync(socketPath); i++) await sleep(20);
    const steps = await failEveryStep({
      world,
      netns: server.pod(),
      plugins: [{ type: 'dhcp', ipam: { type: 'dhcp', daemonSocketPath: socketPath } }],
    });
    assert.ok(steps.length >= 3, steps.join('\n'));
    assert.deepEqual(server.leases(), []);
  } finally {
    stop.abort();
    await daemon;
  }
});
