import { MAC, makeDevice } from '../../lib/veth-device.ts';
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

const prepare = () => makeDevice();

export const cases: DifferentialCase[] = [
  { name: 'device, layer 2', versions, prepare, plugins: [{ type: 'host-device', device: 'dev0' }] },
  {
    name: 'device, dns without IPAM',
    prepare,
    plugins: [{ type: 'host-device', device: 'dev0', dns: { nameservers: ['192.0.2.53'] } }],
  },
  {
    name: 'device, IPv4, dns',
    versions,
    prepare,
    plugins: [{ type: 'host-device', device: 'dev0', dns: { nameservers: ['192.0.2.53'] }, ipam }],
    differs: notify,
  },
  {
    name: 'hwaddr, IPv6',
    prepare,
    plugins: [{ type: 'host-device', hwaddr: MAC, ipam: six }],
    differs: notify,
  },
  {
    name: 'device before hwaddr; the same name in the pod',
    prepare,
    plugins: [{ type: 'host-device', device: 'dev0', hwaddr: 'c2:00:00:00:00:09', ipam }],
    ifName: 'dev0',
    differs: notify,
  },
];
