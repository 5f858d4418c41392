import { makeMaster, makeMasterInPod } from '../../lib/veth-device.ts';
import { run } from '../../lib/world.ts';
import { type DifferentialCase, missesDefaultRoute } from '../case.ts';

const versions = ['0.3.1', '0.4.0', '1.0.0'];
const ipam = {
  type: 'host-local',
  subnet: '10.99.0.0/24',
  routes: [{ dst: '0.0.0.0/0' }, { dst: '10.5.0.0/16', gw: '10.99.0.7' }],
};
const six = { type: 'host-local', subnet: 'fd00:99::/64', routes: [{ dst: '::/0' }] };
const mac = 'c2:00:00:00:00:01';
const prepare = () => makeMaster('m0');
const common = { prepare, needsLinkKind: 'macvlan' };

export const cases: DifferentialCase[] = [
  { ...common, name: 'layer 2', versions, plugins: [{ type: 'macvlan', master: 'm0' }] },
  {
    ...common,
    name: 'IPv4, mtu, dns',
    versions,
    plugins: [{ type: 'macvlan', master: 'm0', mtu: 1400, dns: { nameservers: ['192.0.2.53'] }, ipam }],
  },
  {
    ...common,
    name: 'IPv6',
    plugins: [{ type: 'macvlan', master: 'm0', ipam: six }],
    differs: {
      '^sysctls\\.pod.*/ndisc_notify$':
        'neighbours are told of IPv6 addresses too; in the reference since 1.2',
    },
  },
  ...['bridge', 'private', 'vepa', 'passthru'].map((mode) => ({
    ...common,
    name: `mode ${mode}`,
    plugins: [{ type: 'macvlan', master: 'm0', mode, ipam }],
  })),
  { ...common, name: 'mac', plugins: [{ type: 'macvlan', master: 'm0', mac, ipam }] },
  {
    ...common,
    name: 'mac by capability',
    plugins: [{ type: 'macvlan', master: 'm0', capabilities: { mac: true }, ipam }],
    capabilityArgs: { mac },
  },
  {
    ...common,
    name: 'mac by CNI_ARGS',
    plugins: [{ type: 'macvlan', master: 'm0', ipam }],
    args: [
      ['IgnoreUnknown', '1'],
      ['MAC', mac],
    ],
  },
  {
    ...common,
    name: 'the default route names the parent',
    referenceMayFail: missesDefaultRoute,
    plugins: [{ type: 'macvlan', ipam }],
    prepare() {
      makeMaster('m0');
      run('ip', 'address', 'add', '192.0.2.2/24', 'dev', 'm0');
      run('ip', 'route', 'add', 'default', 'via', '192.0.2.1');
    },
  },
  {
    ...common,
    name: 'bcqueuelen',
    plugins: [{ type: 'macvlan', master: 'm0', bcqueuelen: 500, ipam }],
    referenceLacks: 'bcqueuelen (1.5.0)',
  },
  {
    name: 'linkInContainer',
    plugins: [{ type: 'macvlan', master: 'm0', linkInContainer: true, ipam }],
    needsLinkKind: 'macvlan',
    prepare: (_world, netns) => makeMasterInPod(netns, 'm0'),
    referenceLacks: 'linkInContainer (1.3.0)',
  },
];
