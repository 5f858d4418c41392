import { makeMaster, makeMasterInPod } from '../../lib/veth-device.ts';
import type { DifferentialCase } from '../case.ts';

const versions = ['0.3.1', '0.4.0', '1.0.0'];
const ipam = {
  type: 'host-local',
  subnet: '10.99.0.0/24',
  routes: [{ dst: '0.0.0.0/0' }, { dst: '10.5.0.0/16', gw: '10.99.0.7' }],
};
const six = { type: 'host-local', subnet: 'fd00:99::/64', routes: [{ dst: '::/0' }] };
const notify = {
  '^sysctls\\.pod.*/arp_notify$': 'neighbours are told of addresses, as macvlan and ipvlan do',
};
const prepare = () => makeMaster('m0');
const common = { prepare, needsLinkKind: 'vlan', differs: notify };

export const cases: DifferentialCase[] = [
  ...[0, 100, 4094].map((vlanId) => ({
    ...common,
    name: `VLAN ${vlanId}`,
    versions,
    plugins: [{ type: 'vlan', master: 'm0', vlanId, ipam }],
  })),
  {
    ...common,
    name: 'mtu, dns',
    plugins: [
      { type: 'vlan', master: 'm0', vlanId: 5, mtu: 1400, dns: { nameservers: ['192.0.2.53'] }, ipam },
    ],
  },
  { ...common, name: 'IPv6', plugins: [{ type: 'vlan', master: 'm0', vlanId: 5, ipam: six }] },
  {
    name: 'linkInContainer',
    plugins: [{ type: 'vlan', master: 'm0', vlanId: 5, linkInContainer: true, ipam }],
    needsLinkKind: 'vlan',
    prepare: (_world, netns) => makeMasterInPod(netns, 'm0'),
    referenceLacks: 'linkInContainer (1.3.0)',
  },
];
