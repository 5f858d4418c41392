import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bridgeConfig, dualStack } from '../../conformance/lib/configs.ts';
import { lacksLinkKind, lacksVlanFiltering } from '../../conformance/lib/requirements.ts';
import { World } from '../../conformance/lib/world.ts';
import { failEveryStep } from './fail-every-step.ts';

const bridge = (world: World) =>
  bridgeConfig(world, { ipMasq: true, hairpinMode: true, ipam: dualStack(world) });

const mayStayOfFirst = {
  '^nft\\.': 'tables without elements, which the next pod needs',
  '^sysctls\\.host\\.net/ip.*(forward|forwarding|/accept_redirects)$':
    'forwarding and what the kernel changes with it: other pods may have come to need it',
  '^files\\..*(lock|last_reserved_ip\\.\\d)': 'the state of the pool',
  '^sysctls\\.pod\\..*/(lo|all)/': 'settings of the pod, whose namespace goes with it',
};
const staysAfterDel = { '^(links|sysctls|routes)\\.host': 'the bridge' };

test('bridge, first pod of the machine: each step fails, and nothing is left', async () => {
  using world = new World();
  const netns = world.netns('pod');
  const plugins = [bridge(world)];
  const steps = await failEveryStep({
    world,
    netns,
    plugins,
    mayStay: mayStayOfFirst,
    staysAfterDel,
    isFirst: true,
  });
  assert.ok(steps.length >= 20, steps.join('\n'));
});

test('bridge, a further pod: each step fails, and nothing is left', async () => {
  using world = new World();
  const netns = world.netns('pod');
  const plugins = [bridge(world)];
  const mayStay = {
    '^files\\..*last_reserved_ip\\.\\d': 'the state of the pool',
    '^sysctls\\.pod\\..*/lo/': 'settings of the pod, whose namespace goes with it',
  };
  const steps = await failEveryStep({ world, netns, plugins, mayStay });
  assert.ok(steps.length >= 9, steps.join('\n'));
});

test('bridge with macspoofchk: each step fails, and nothing is left', async () => {
  using world = new World();
  const netns = world.netns('pod');
  const { ipam: _, ...layer2 } = bridge(world);
  const plugins = [{ ...layer2, ipMasq: false, macspoofchk: true }];
  const options = { world, netns, plugins, mayStay: mayStayOfFirst, staysAfterDel };
  const first = await failEveryStep({ ...options, isFirst: true });
  assert.ok(
    first.some((step) => step.startsWith('nf_tables')),
    first.join('\n'),
  );
  const further = await failEveryStep({ ...options, mayStay: {}, staysAfterDel: {} });
  assert.ok(
    further.some((step) => step.startsWith('nf_tables')),
    further.join('\n'),
  );
});

test('bridge with VLANs: each step fails, and nothing is left', {
  skip: lacksVlanFiltering() || lacksLinkKind('vlan'),
}, async () => {
  using world = new World();
  const netns = world.netns('pod');
  const plugins = [{ ...bridge(world), vlan: 100, vlanTrunk: [{ minID: 200, maxID: 210 }, { id: 220 }] }];
  const options = { world, netns, plugins, mayStay: mayStayOfFirst };
  const bridgeAndVlan = { ...staysAfterDel, '^bridgeVlans': 'the bridge is in the VLAN' };
  const first = await failEveryStep({ ...options, staysAfterDel: bridgeAndVlan, isFirst: true });
  assert.ok(first.length >= 25, first.join('\n'));
  const further = await failEveryStep(options);
  assert.ok(further.length >= 12, further.join('\n'));
});
