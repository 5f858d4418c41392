import { inPod } from '../../lib/world.ts';
import type { DifferentialCase } from '../case.ts';

const referenceLacks = 'the plugin (1.4.0)';
const mac = 'c2:00:00:00:00:01';
const ipam = { type: 'host-local', subnet: '10.99.0.0/24', routes: [{ dst: '0.0.0.0/0' }] };

export const cases: DifferentialCase[] = [
  { name: 'layer 2', plugins: [{ type: 'tap' }], referenceLacks },
  { name: 'multiQueue, mtu', plugins: [{ type: 'tap', multiQueue: true, mtu: 1400, ipam }], referenceLacks },
  { name: 'owner, group, mac', plugins: [{ type: 'tap', owner: 1, group: 2, mac, ipam }], referenceLacks },
  {
    name: 'mac by capability',
    plugins: [{ type: 'tap', capabilities: { mac: true } }],
    capabilityArgs: { mac },
    referenceLacks,
  },
  {
    name: 'bridge',
    plugins: [{ type: 'tap', bridge: 'br0' }],
    prepare: (_world, netns) => inPod(netns, 'ip', 'link', 'add', 'br0', 'type', 'bridge'),
    referenceLacks,
  },
];
