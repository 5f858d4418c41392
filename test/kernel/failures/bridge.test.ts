import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World } from '../../conformance/lib/world.ts';
import { failEveryStep } from './fail-every-step.ts';

const bridge = (dataDir: string) => ({
  type: 'bridge',
  bridge: 'tb0',
  isGateway: true,
  ipMasq: true,
  hairpinMode: true,
  ipam: {
    type: 'host-local',
    ranges: [[{ subnet: '10.99.0.0/24' }], [{ subnet: 'fd00:99::/64' }]],
    routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
    dataDir,
  },
});

test('bridge, first pod of the machine: each step fails, and nothing is left', async () => {
  using world = new World();
  const netns = world.netns('pod');
  const plugins = [bridge(world.dataDir)];
  const mayStay = {
    '^nft\\.': 'tables without elements, which the next pod needs',
    '^sysctls\\.host\\.net/ip.*(forward|forwarding|/accept_redirects)$':
      'forwarding and what the kernel changes with it: other pods may have come to need it',
    '^files\\..*(lock|last_reserved_ip\\.\\d)': 'the state of the pool',
    '^sysctls\\.pod\\..*/(lo|all)/': 'settings of the pod, whose namespace goes with it',
  };
  const staysAfterDel = { '^(links|sysctls|routes)\\.host': 'the bridge' };
  const steps = await failEveryStep({ world, netns, plugins, mayStay, staysAfterDel, isFirst: true });
  assert.ok(steps.length >= 20, steps.join('\n'));
});

test('bridge, a further pod: each step fails, and nothing is left', async () => {
  using world = new World();
  const netns = world.netns('pod');
  const plugins = [bridge(world.dataDir)];
  const mayStay = {
    '^files\\..*last_reserved_ip\\.\\d': 'the state of the pool',
    '^sysctls\\.pod\\..*/lo/': 'settings of the pod, whose namespace goes with it',
  };
  const steps = await failEveryStep({ world, netns, plugins, mayStay });
  assert.ok(steps.length >= 15, steps.join('\n'));
});
