import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World } from '../../conformance/lib/world.ts';
import { failEveryStep } from './fail-every-step.ts';

const ranges = [[{ subnet: '10.99.0.0/24' }], [{ subnet: 'fd00:99::/64' }]];
/** The interface and with it its routes is the next plugin's to remove. */
const staysAfterDel = { '^routes\\.pod': 'routes that left the main table, which go with the interface' };

for (const [what, config, fewest] of [
  ['tables of its own', {}, 13],
  ['source hints', { addSourceHints: true }, 15],
  ['a table of the configuration', { table: 7000 }, 2],
] as const) {
  test(`sbr, ${what}: each step fails, and rules and routes are as before`, async () => {
    using world = new World();
    const netns = world.netns('pod');
    const bridge = {
      type: 'bridge',
      bridge: 'tb0',
      isGateway: true,
      ipam: {
        type: 'host-local',
        ranges,
        dataDir: world.dataDir,
        routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
      },
    };
    const plugins = [bridge, { type: 'sbr', ...config }];
    const steps = await failEveryStep({ world, netns, plugins, staysAfterDel, isFirst: true });
    assert.ok(steps.length >= fewest, steps.join('\n'));
  });
}
