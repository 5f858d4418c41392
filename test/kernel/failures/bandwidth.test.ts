import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World } from '../../conformance/lib/world.ts';
import { failEveryStep } from './fail-every-step.ts';

const limits = { ingressRate: 8e6, ingressBurst: 8e5, egressRate: 4e6, egressBurst: 4e5 };

/** What of the pair's shaping stays with the pair, which the next plugin's DEL removes. */
const staysAfterDel = {
  '^((qdiscs|filters)\\.host|links\\.host.*\\.qdisc$)': 'the shaping of the pair, which goes with the pair',
};

for (const [what, more] of [
  ['limits', {}],
  ['limits for some subnets', { shapedSubnets: ['10.0.0.0/8', 'fd00::/8'] }],
] as const) {
  test(`bandwidth, ${what}: each step fails, and nothing is left`, async () => {
    using world = new World();
    const netns = world.netns('pod');
    const bridge = {
      type: 'bridge',
      bridge: 'tb0',
      ipam: { type: 'host-local', subnet: '10.99.0.0/24', dataDir: world.dataDir },
    };
    const plugins = [bridge, { type: 'bandwidth', ...limits, ...more }];
    const steps = await failEveryStep({ world, netns, plugins, staysAfterDel, isFirst: true });
    assert.ok(steps.length >= 7, steps.join('\n'));
  });
}
