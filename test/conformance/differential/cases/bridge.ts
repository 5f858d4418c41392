import { run } from '../../lib/world.ts';
import type { DifferentialCase } from '../case.ts';

const versions = ['0.3.1', '0.4.0', '1.0.0'];
const bridge = { type: 'bridge', bridge: 'tb0' };
const ipam = { type: 'host-local', subnet: '10.99.0.0/24' };
const six = { type: 'host-local', subnet: 'fd00:99::/64', routes: [{ dst: '::/0' }] };
const both = {
  type: 'host-local',
  ranges: [[{ subnet: '10.99.0.0/24', rangeStart: '10.99.0.100' }], [{ subnet: 'fd00:99::/64' }]],
  routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }, { dst: '10.5.0.0/16', gw: '10.99.0.7' }],
};
const mac = 'c2:00:00:00:00:01';
const acceptRa = { 'sysctls\\.host.*/tb0/accept_ra$': 'a bridge that others made keeps its settings' };
const cannotCheck = { '^check$': 'the reference cannot check a bridge without IPAM' };

/** A bridge that somebody else made. */
function makeBridge(...more: string[]): void {
  run('ip', 'link', 'add', 'tb0', 'address', 'c2:00:00:00:00:10', ...more, 'type', 'bridge');
  run('ip', 'link', 'set', 'tb0', 'up');
}

const vlanCases: DifferentialCase[] = [
  {
    name: 'vlan, and the default one preserved',
    plugins: [{ ...bridge, vlan: 100, preserveDefaultVlan: true, ipam }],
  },
  {
    name: 'vlan',
    plugins: [{ ...bridge, vlan: 100, ipam }],
    differs: { '^bridgeVlans': 'the port is in VLAN 100 only, as in the reference since 1.3.0 (NET-15)' },
  },
  {
    name: 'vlan of a bridge that is there',
    prepare: () => makeBridge(),
    plugins: [{ ...bridge, vlan: 100, preserveDefaultVlan: true, ipam }],
    differs: {
      ...acceptRa,
      'links\\.host.*vlan_filtering$':
        'the reference lets the VLAN have no effect on a bridge that it did not make',
    },
  },
  {
    name: 'vlan with a gateway of both families',
    needsLinkKind: 'vlan',
    plugins: [{ ...bridge, vlan: 100, isGateway: true, ipam: both }],
    referenceLacks: 'an interface of the host in the VLAN (1.3.0)',
  },
  {
    name: 'vlanTrunk',
    plugins: [{ ...bridge, vlanTrunk: [{ minID: 10, maxID: 20 }, { id: 30 }], ipam }],
    referenceLacks: 'vlanTrunk (1.3.0)',
  },
  {
    name: 'vlan, vlanTrunk and the default one preserved',
    plugins: [{ ...bridge, vlan: 100, vlanTrunk: [{ id: 30 }], preserveDefaultVlan: true, ipam }],
    referenceLacks: 'vlanTrunk (1.3.0)',
  },
];

export const cases: DifferentialCase[] = [
  {
    name: 'layer 2',
    versions: ['0.4.0', '1.0.0'],
    plugins: [bridge],
    differs: cannotCheck,
  },
  { name: 'no gateway', plugins: [{ ...bridge, ipam }] },
  { name: 'gateway', versions, plugins: [{ ...bridge, isGateway: true, ipam }] },
  {
    name: 'the bridge that is taken unless one is given',
    plugins: [{ type: 'bridge', isGateway: true, ipam }],
  },
  {
    name: 'default gateway, mtu, hairpin',
    versions,
    plugins: [{ ...bridge, isDefaultGateway: true, mtu: 1400, hairpinMode: true, ipam }],
  },
  {
    name: 'default gateway of both families',
    plugins: [{ ...bridge, isDefaultGateway: true, ipam: { ...both, routes: [] } }],
  },
  {
    name: 'two families with routes and dns',
    versions,
    plugins: [
      { ...bridge, isGateway: true, dns: { nameservers: ['192.0.2.53'], search: ['a.test'] }, ipam: both },
    ],
  },
  { name: 'IPv6', plugins: [{ ...bridge, isGateway: true, ipam: six }] },
  { name: 'IPv6 without a gateway', plugins: [{ ...bridge, ipam: six }] },
  { name: 'enabledad', plugins: [{ ...bridge, isGateway: true, enabledad: true, ipam: both }] },
  {
    name: 'a bridge that is there, with another address',
    prepare() {
      makeBridge();
      run('ip', 'address', 'add', '10.98.0.1/24', 'dev', 'tb0');
    },
    plugins: [{ ...bridge, isGateway: true, forceAddress: true, ipam }],
    differs: acceptRa,
  },
  {
    name: 'a bridge that is there and has the gateway',
    prepare() {
      makeBridge();
      run('ip', 'address', 'add', '10.99.0.1/24', 'dev', 'tb0');
    },
    plugins: [{ ...bridge, isGateway: true, ipam }],
    differs: acceptRa,
  },
  {
    name: 'a bridge that is there, with another mtu',
    prepare: () => makeBridge('mtu', '1300'),
    plugins: [{ ...bridge, ipam }],
    differs: {
      ...acceptRa,
      '^(links.*\\.|sysctls.*/)mtu$': 'a new pair takes the MTU of the bridge, which keeps it so',
    },
  },
  { name: 'promiscMode', plugins: [{ ...bridge, promiscMode: true, isGateway: true, ipam }] },
  { name: 'hairpinMode without IPAM', plugins: [{ ...bridge, hairpinMode: true }], differs: cannotCheck },
  {
    name: 'ipMasq',
    plugins: [{ ...bridge, isGateway: true, ipMasq: true, ipam: both }],
    differs: { '^(del:)?(nft|iptables)\\.': 'nftables is the default here, in a table of our own' },
  },
  {
    name: 'ipMasq with iptables',
    plugins: [{ ...bridge, isGateway: true, ipMasq: true, ipMasqBackend: 'iptables', ipam: both }],
  },
  {
    name: 'ipMasq with nftables',
    plugins: [{ ...bridge, isGateway: true, ipMasq: true, ipMasqBackend: 'nftables', ipam }],
    referenceLacks: 'ipMasqBackend (1.6.0)',
  },
  {
    name: 'macspoofchk',
    plugins: [{ ...bridge, macspoofchk: true, ipam }],
    differs: { '^(del:)?nft\\.': 'a table of our own with two sets in place of chains for each pod' },
  },
  {
    name: 'mac by capability',
    plugins: [{ ...bridge, capabilities: { mac: true }, ipam }],
    capabilityArgs: { mac },
  },
  { name: 'mac by args.cni', plugins: [{ ...bridge, args: { cni: { mac } }, ipam }] },
  {
    name: 'mac by CNI_ARGS',
    plugins: [{ ...bridge, ipam }],
    args: [
      ['IgnoreUnknown', '1'],
      ['MAC', mac],
    ],
  },
  {
    name: 'disableContainerInterface',
    plugins: [{ ...bridge, disableContainerInterface: true }],
    referenceLacks: 'disableContainerInterface (1.4.1)',
  },
  {
    name: 'portIsolation',
    plugins: [{ ...bridge, portIsolation: true, isGateway: true, ipam }],
    referenceLacks: 'portIsolation (1.7.0)',
  },
  { name: 'another interface name', ifName: 'net1', plugins: [{ ...bridge, isGateway: true, ipam }] },
  ...vlanCases.map((differential) => ({ ...differential, needsVlanFiltering: true })),
];
