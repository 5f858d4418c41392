import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bridgeConfig, dualStack } from '../../conformance/lib/configs.ts';
import { World } from '../../conformance/lib/world.ts';
import { failEveryStep } from './fail-every-step.ts';

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
    const bridge = bridgeConfig(world, { ipam: dualStack(world) });
    const plugins = [bridge, { type: 'sbr', ...config }];
    const steps = await failEveryStep({ world, netns, plugins, staysAfterDel, isFirst: true });
    assert.ok(steps.length >= fewest, steps.join('\n'));
  });
}
