/** The plugins that give a pod one link: each step of ADD fails, and nothing is left. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lacksLinkKind } from '../../conformance/lib/requirements.ts';
import { makeMaster } from '../../conformance/lib/veth-device.ts';
import { inPod, run, World } from '../../conformance/lib/world.ts';
import { failEveryStep } from './fail-every-step.ts';

interface LinkCase {
  name: string;
  plugin: { type: string; [key: string]: unknown };
  kind: string;
  /** Steps that an ADD has at least. */
  steps: number;
  prepare?(netns: string): void;
}

const cases: LinkCase[] = [
  {
    name: 'macvlan',
    plugin: { type: 'macvlan', master: 'm0', mtu: 1400, mac: 'c2:00:00:00:00:01', bcqueuelen: 500 },
    kind: 'macvlan',
    steps: 12,
  },
  {
    // As kernels before 6.14 need it: under another name first.
    name: 'macvlan, with an interface of that name on the host',
    plugin: { type: 'macvlan', master: 'm0' },
    kind: 'macvlan',
    steps: 12,
    prepare: () => run('ip', 'link', 'add', 'eth0', 'type', 'bridge'),
  },
  { name: 'ipvlan', plugin: { type: 'ipvlan', master: 'm0', mode: 'l3' }, kind: 'ipvlan', steps: 12 },
  { name: 'vlan', plugin: { type: 'vlan', master: 'm0', vlanId: 100 }, kind: 'vlan', steps: 12 },
  { name: 'dummy', plugin: { type: 'dummy' }, kind: 'dummy', steps: 12 },
  {
    name: 'tap',
    plugin: { type: 'tap', bridge: 'br0', mtu: 1400, mac: 'c2:00:00:00:00:01', owner: 1, group: 2 },
    kind: 'tun',
    steps: 12,
    prepare: (netns) => inPod(netns, 'ip', 'link', 'add', 'br0', 'type', 'bridge'),
  },
  {
    name: 'host-device, in use on the host',
    plugin: { type: 'host-device', device: 'm0' },
    kind: 'veth',
    steps: 12,
    prepare() {
      run('ip', 'link', 'set', 'm0', 'up', 'alias', 'uplink');
      run('ip', 'address', 'add', '192.0.2.2/24', 'dev', 'm0');
      run('ip', 'address', 'add', '2001:db8::2/64', 'dev', 'm0', 'nodad');
      run('ip', 'address', 'add', '198.18.0.2/24', 'dev', 'm0', 'noprefixroute');
      run('ip', 'route', 'add', 'default', 'via', '192.0.2.1', 'dev', 'm0');
      // Listed behind the route whose gateway it leads to.
      run('ip', 'route', 'add', '203.0.113.1', 'dev', 'm0');
      run('ip', 'route', 'add', '198.51.100.0/24', 'via', '203.0.113.1', 'dev', 'm0');
    },
  },
];

const mayStay = {
  '^files\\..*(lock|last_reserved_ip\\.\\d)': 'the state of the pool',
  '^sysctls\\.pod\\..*/lo/': 'settings of the pod, whose namespace goes with it',
};
/** DEL does not know what the device had on the host; as in the reference it is left down and bare. */
const leftByHostDevice = {
  '^(links|routes|sysctls)\\.host': 'the device is down, without alias, addresses and routes',
};

for (const { name, plugin, kind, steps: atLeast, prepare } of cases) {
  const isTap = plugin.type === 'tap';
  test(`${name}: each step fails, and nothing is left`, { skip: !isTap && lacksLinkKind(kind) }, async () => {
    using world = new World();
    makeMaster('m0');
    const isDevice = plugin.type === 'host-device';
    // Duplicate detection takes a second, which is too long for each of many steps: so no carrier, or no IPv6.
    if (!isDevice) run('ip', 'link', 'set', 'm0p', 'down');
    const netns = world.netns('pod');
    prepare?.(netns);
    const ipam = {
      type: 'host-local',
      ranges: [[{ subnet: '10.99.0.0/24' }], ...(isDevice ? [] : [[{ subnet: 'fd00:99::/64' }]])],
      routes: [{ dst: '0.0.0.0/0' }, ...(isDevice ? [] : [{ dst: '::/0' }])],
      dataDir: world.dataDir,
    };
    const steps = await failEveryStep({
      world,
      netns,
      plugins: [{ ...plugin, ipam }],
      mayStay,
      ...(isDevice && { staysAfterDel: leftByHostDevice, isFirst: true, restore: () => prepare?.(netns) }),
    });
    assert.ok(steps.length >= atLeast, steps.join('\n'));
  });
}
