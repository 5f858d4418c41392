import { run } from '../../lib/world.ts';
import type { DifferentialCase } from '../case.ts';

const ranges4 = [{ subnet: '10.99.0.0/24' }];
const ranges6 = [{ subnet: 'fd00:99::/64' }];
const capabilities = { portMappings: true };

function bridge(...ranges: object[][]): { type: string } & Record<string, unknown> {
  const routes = ranges.includes(ranges4) ? [{ dst: '0.0.0.0/0' }] : [{ dst: '::/0' }];
  return { type: 'bridge', bridge: 'tb0', isGateway: true, ipam: { type: 'host-local', ranges, routes } };
}

function chain(portmap: object, ...ranges: object[][]): DifferentialCase['plugins'] {
  return [bridge(...ranges), { type: 'portmap', capabilities, ...portmap }];
}

const web = { hostPort: 8080, containerPort: 80, protocol: 'tcp' };
const everyProtocol = [
  web,
  { hostPort: 5353, containerPort: 53, protocol: 'udp' },
  { hostPort: 9999, containerPort: 99, protocol: 'sctp' },
];
const everyHostIp = [
  { ...web, hostIP: '10.99.0.1' },
  { ...web, hostPort: 8081, hostIP: '0.0.0.0' },
  { ...web, hostPort: 8082, hostIP: 'fd00:99::1' },
  { ...web, hostPort: 8083, hostIP: '::' },
];
const manyPorts = Array.from({ length: 17 }, (_, i) => ({ ...web, hostPort: 9000 + i }));

const ownTables = { '^(del:)?(nft|iptables)\\.': 'nftables is the default here, in tables of our own' };
const check = {
  '^check$': 'the reference of Debian 12 looks for the rules of one family in the tables of the other',
};
const emptyTable = {
  '^del:(nft\\.host\\.ip6? nat|iptables\\.host\\.\\d\\.nat)$':
    'DEL looks at the families that the pod has addresses of, and so leaves no empty table of the other',
};
const nftBackend = 'the backend nftables (1.6 and later)';

export const cases: DifferentialCase[] = [
  {
    name: 'masquerading and a port',
    versions: ['0.4.0', '1.0.0'],
    plugins: [
      { ...bridge(ranges4), ipMasq: true },
      { type: 'portmap', capabilities },
    ],
    capabilityArgs: { portMappings: [web] },
    differs: { ...ownTables, ...check },
  },
  { name: 'no ports', plugins: chain({}, ranges4), capabilityArgs: { portMappings: [] } },
  {
    name: 'every protocol and address, both families',
    plugins: chain({}, ranges4, ranges6),
    capabilityArgs: { portMappings: [...everyProtocol, ...everyHostIp] },
    differs: { ...ownTables, ...check },
  },
  {
    name: 'with iptables: every protocol',
    versions: ['0.3.1'],
    plugins: chain({ backend: 'iptables' }, ranges4),
    capabilityArgs: { portMappings: everyProtocol },
    differs: emptyTable,
  },
  {
    name: 'with iptables: every kind of address, both families',
    plugins: chain({ backend: 'iptables' }, ranges4, ranges6),
    capabilityArgs: { portMappings: everyHostIp },
    differs: check,
  },
  {
    name: 'with iptables: IPv6 alone, behind masquerading with iptables',
    plugins: [
      { ...bridge(ranges6), ipMasq: true, ipMasqBackend: 'iptables' },
      { type: 'portmap', capabilities, backend: 'iptables' },
    ],
    capabilityArgs: { portMappings: everyProtocol },
    differs: { ...check, ...emptyTable },
  },
  {
    name: 'with iptables: no snat',
    plugins: chain({ backend: 'iptables', snat: false, masqAll: true }, ranges4),
    capabilityArgs: { portMappings: [web] },
    differs: { ...check, ...emptyTable },
  },
  {
    name: 'with iptables: another bit of the mark',
    plugins: chain({ backend: 'iptables', markMasqBit: 5 }, ranges4),
    capabilityArgs: { portMappings: [web] },
    differs: { ...check, ...emptyTable },
  },
  {
    name: 'with iptables: masqAll',
    plugins: chain({ backend: 'iptables', masqAll: true }, ranges4, ranges6),
    capabilityArgs: { portMappings: [web] },
    referenceLacks: 'masqAll (1.2 and later)',
  },
  {
    name: "somebody else's chain sets the mark",
    prepare() {
      for (const program of ['iptables', 'ip6tables']) run(program, '-t', 'nat', '-N', 'SITE-MARK');
    },
    plugins: chain({ externalSetMarkChain: 'SITE-MARK' }, ranges4, ranges6),
    capabilityArgs: { portMappings: [web] },
    differs: check,
  },
  {
    name: 'conditions in the language of iptables',
    plugins: chain(
      { conditionsV4: ['!', '-s', '192.0.2.0/24'], conditionsV6: ['-s', '2001:db8::/32'] },
      ranges4,
      ranges6,
    ),
    capabilityArgs: { portMappings: everyProtocol },
    differs: check,
  },
  {
    name: 'with iptables: more ports than one rule takes',
    plugins: chain({ backend: 'iptables' }, ranges4, ranges6),
    capabilityArgs: { portMappings: manyPorts },
    differs: check,
  },
  {
    name: 'with nftables: masqAll, no snat, many ports',
    plugins: chain({ backend: 'nftables', masqAll: true, snat: false }, ranges4, ranges6),
    capabilityArgs: { portMappings: manyPorts },
    referenceLacks: nftBackend,
  },
  {
    name: 'conditions in the language of nft, both families',
    plugins: chain(
      { conditionsV4: ['ip', 'saddr', '192.0.2.0/24'], conditionsV6: ['ip6', 'saddr', '2001:db8::/32'] },
      ranges4,
      ranges6,
    ),
    capabilityArgs: { portMappings: [...everyProtocol, ...everyHostIp] },
    referenceLacks: nftBackend,
  },
];
