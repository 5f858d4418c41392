import type { DifferentialCase } from '../case.ts';

const versions = ['0.3.1', '0.4.0', '1.0.0'];

export const cases: DifferentialCase[] = [
  {
    name: 'layer 2',
    versions: ['0.4.0', '1.0.0'],
    plugins: [{ type: 'bridge', bridge: 'tb0' }],
    differs: { '^check$': 'the reference cannot check a bridge without IPAM' },
  },
  {
    name: 'gateway',
    versions,
    plugins: [
      {
        type: 'bridge',
        bridge: 'tb0',
        isGateway: true,
        ipam: { type: 'host-local', subnet: '10.99.0.0/24' },
      },
    ],
  },
  {
    name: 'default gateway, mtu, hairpin',
    versions,
    plugins: [
      {
        type: 'bridge',
        bridge: 'tb0',
        isDefaultGateway: true,
        mtu: 1400,
        hairpinMode: true,
        ipam: { type: 'host-local', subnet: '10.99.0.0/24' },
      },
    ],
  },
  {
    name: 'two families with routes and dns',
    versions,
    plugins: [
      {
        type: 'bridge',
        bridge: 'tb0',
        isGateway: true,
        dns: { nameservers: ['192.0.2.53'], search: ['a.test'] },
        ipam: {
          type: 'host-local',
          ranges: [[{ subnet: '10.99.0.0/24', rangeStart: '10.99.0.100' }], [{ subnet: 'fd00:99::/64' }]],
          routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }, { dst: '10.5.0.0/16', gw: '10.99.0.7' }],
        },
      },
    ],
  },
];
