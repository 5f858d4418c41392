import type { DifferentialCase } from '../case.ts';

const versions = ['0.3.1', '0.4.0', '1.0.0'];
const ipam = {
  type: 'host-local',
  subnet: '10.99.0.0/24',
  routes: [{ dst: '0.0.0.0/0' }, { dst: '10.5.0.0/16', gw: '10.99.0.1' }],
};
const six = { type: 'host-local', subnet: 'fd00:99::/64', routes: [{ dst: '::/0' }] };
const both = {
  type: 'host-local',
  ranges: [[{ subnet: '10.99.0.0/24' }], [{ subnet: 'fd00:99::/64' }]],
  routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
};

/** Of every case. */
const differs = {
  '^links\\.pod.*\\.noprefixroute$': 'the kernel makes no routes that would be deleted at once',
};

const all: DifferentialCase[] = [
  { name: 'IPv4', plugins: [{ type: 'ptp', ipam }] },
  { name: 'IPv6', plugins: [{ type: 'ptp', ipam: six }] },
  { name: 'both families', versions, plugins: [{ type: 'ptp', ipam: both }] },
  {
    name: 'mtu and dns',
    versions,
    plugins: [{ type: 'ptp', mtu: 1400, dns: { nameservers: ['192.0.2.53'], domain: 'a.test' }, ipam }],
  },
  { name: 'an empty list in dns', plugins: [{ type: 'ptp', dns: { nameservers: [] }, ipam }] },
  {
    name: 'ipMasq',
    plugins: [{ type: 'ptp', ipMasq: true, ipam: both }],
    differs: { '^(del:)?(nft|iptables)\\.': 'nftables is the default here, in a table of our own' },
  },
  {
    name: 'ipMasq with iptables',
    plugins: [{ type: 'ptp', ipMasq: true, ipMasqBackend: 'iptables', ipam: both }],
  },
  {
    name: 'ipMasq with nftables',
    plugins: [{ type: 'ptp', ipMasq: true, ipMasqBackend: 'nftables', ipam }],
    referenceLacks: 'ipMasqBackend (1.6.0)',
  },
  { name: 'another interface name', ifName: 'net1', plugins: [{ type: 'ptp', ipam: both }] },
];

export const cases = all.map((differential) => ({
  ...differential,
  ...(differential.referenceLacks === undefined && { differs: { ...differs, ...differential.differs } }),
}));
