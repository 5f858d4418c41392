import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lacksLinkKind } from '../../conformance/lib/requirements.ts';
import { World } from '../../conformance/lib/world.ts';
import { failEveryStep } from './fail-every-step.ts';

const skip = lacksLinkKind('vrf');
const ranges = [[{ subnet: '10.99.0.0/24' }], [{ subnet: 'fd00:99::/64' }]];
const mayStay = { '^rules\\.pod': 'the rule that the kernel itself makes with the first VRF of a namespace' };
/** The interface and with it its routes is the next plugin's to remove. */
const staysAfterDel = { '^routes\\.pod': 'routes that left the main table, which go with the interface' };

test('vrf: each step fails, and links, addresses and routes are as before', { skip }, async () => {
  using world = new World();
  const netns = world.netns('pod');
  const routes = [{ dst: '0.0.0.0/0' }, { dst: '::/0' }];
  const bridge = {
    type: 'bridge',
    bridge: 'tb0',
    isGateway: true,
    ipam: { type: 'host-local', ranges, dataDir: world.dataDir, routes },
  };
  const plugins = [bridge, { type: 'vrf', vrfname: 'blue' }];
  const options = { world, netns, plugins, mayStay, staysAfterDel, isFirst: true };
  const steps = await failEveryStep(options);
  assert.ok(steps.length >= 11, steps.join('\n'));
});
