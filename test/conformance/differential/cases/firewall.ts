import { run } from '../../lib/world.ts';
import type { DifferentialCase } from '../case.ts';

const versions = ['0.4.0', '1.0.0'];
const ranges4 = [{ subnet: '10.99.0.0/24' }];
const ranges6 = [{ subnet: 'fd00:99::/64' }];

function bridge(...ranges: object[][]): { type: string } & Record<string, unknown> {
  return { type: 'bridge', bridge: 'tb0', ipam: { type: 'host-local', ranges } };
}

const owners = {
  '^(del:)?nft\\.host\\.inet amphipod_firewall$': 'iptables has no room for whose an address is',
};
const comment = {
  '^(del:)?iptables\\.host\\.\\d\\.filter\\.(FORWARD|CNI-ISOLATION)':
    'the comment names both policies, as that of 1.7 and later does',
};

export const cases: DifferentialCase[] = [
  { name: 'no keys, IPv4', versions, plugins: [bridge(ranges4), { type: 'firewall' }] },
  { name: 'no keys, both families', plugins: [bridge(ranges4, ranges6), { type: 'firewall' }] },
  {
    name: 'with iptables, both families',
    versions,
    plugins: [bridge(ranges4, ranges6), { type: 'firewall', backend: 'iptables' }],
    differs: owners,
  },
  {
    name: 'with nftables, IPv6 alone; an open policy named',
    plugins: [bridge(ranges6), { type: 'firewall', backend: 'nftables', ingressPolicy: 'open' }],
  },
  {
    name: "the administrator's chain has another name and rules already",
    prepare() {
      run('iptables', '-N', 'SITE-RULES');
      run('iptables', '-A', 'SITE-RULES', '-p', 'tcp', '--dport', '25', '-j', 'DROP');
      run('iptables', '-P', 'FORWARD', 'DROP');
    },
    plugins: [bridge(ranges4), { type: 'firewall', iptablesAdminChainName: 'SITE-RULES' }],
  },
  {
    name: "the administrator's chain with iptables; a zone that nobody asks for",
    plugins: [
      bridge(ranges4, ranges6),
      {
        type: 'firewall',
        backend: 'iptables',
        iptablesAdminChainName: 'SITE-RULES',
        firewalldZone: 'internal',
      },
    ],
    differs: owners,
  },
  {
    name: 'same-bridge',
    versions,
    plugins: [bridge(ranges4), { type: 'firewall', ingressPolicy: 'same-bridge' }],
    differs: comment,
  },
  {
    name: 'same-bridge with iptables, both families',
    plugins: [
      bridge(ranges4, ranges6),
      { type: 'firewall', backend: 'iptables', ingressPolicy: 'same-bridge' },
    ],
    differs: { ...owners, ...comment },
  },
  {
    name: 'isolated',
    plugins: [bridge(ranges4, ranges6), { type: 'firewall', ingressPolicy: 'isolated' }],
    referenceLacks: 'the policy isolated (1.7 and later)',
  },
  {
    name: 'isolated with iptables',
    plugins: [bridge(ranges4), { type: 'firewall', backend: 'iptables', ingressPolicy: 'isolated' }],
    referenceLacks: 'the policy isolated (1.7 and later)',
  },
];
