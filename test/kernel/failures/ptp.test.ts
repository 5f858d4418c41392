import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dualStack } from '../../conformance/lib/configs.ts';
import { World } from '../../conformance/lib/world.ts';
import { failEveryStep } from './fail-every-step.ts';

const ptp = (world: World) => ({ type: 'ptp', ipMasq: true, mtu: 1400, ipam: dualStack(world) });
const ofPodAndPool = {
  '^files\\..*(lock|last_reserved_ip\\.\\d)': 'the state of the pool',
  '^sysctls\\.pod\\..*/(lo|all)/': 'settings of the pod, whose namespace goes with it',
};

test('ptp, first pod of the machine: each step fails, and nothing is left', async () => {
  using world = new World();
  const netns = world.netns('pod');
  const plugins = [ptp(world)];
  const mayStay = {
    ...ofPodAndPool,
    '^nft\\.': 'tables without elements, which the next pod needs',
    '^sysctls\\.host\\.net/ip.*(forward|forwarding|/accept_redirects)$':
      'forwarding and what the kernel changes with it: other pods may have come to need it',
  };
  const steps = await failEveryStep({ world, netns, plugins, mayStay, isFirst: true });
  assert.ok(steps.length >= 15, steps.join('\n'));
});

test('ptp, a further pod: each step fails, and nothing is left', async () => {
  using world = new World();
  const netns = world.netns('pod');
  const steps = await failEveryStep({
    world,
    netns,
    plugins: [ptp(world)],
    mayStay: ofPodAndPool,
  });
  assert.ok(steps.length >= 12, steps.join('\n'));
});
