import { ipInPod, run } from '../../lib/world.ts';
import type { DifferentialCase } from '../case.ts';

function bridge(ipam: object): DifferentialCase['plugins'][number] {
  return { type: 'bridge', bridge: 'tb0', isGateway: true, ipam: { type: 'host-local', ...ipam } };
}

const needsLinkKind = 'vrf';
const vrf = { type: 'vrf', vrfname: 'blue' };
const v4 = bridge({ subnet: '10.99.0.0/24' });

/** The reference's bridge cannot be checked together with its vrf. */
const differs = { '^check$': 'the reference looks for gateways and routes in the main table alone' };

export const cases: DifferentialCase[] = [
  { name: 'a new VRF', needsLinkKind, versions: ['0.3.1'], plugins: [v4, vrf] },
  { name: 'a new VRF', needsLinkKind, versions: ['0.4.0', '1.0.0'], plugins: [v4, vrf], differs },
  { name: 'a table', needsLinkKind, plugins: [v4, { ...vrf, table: 1001 }], differs },
  { name: 'IPv6', needsLinkKind, plugins: [bridge({ subnet: 'fd00:99::/64' }), vrf], differs },
  {
    name: 'routes of the result',
    needsLinkKind,
    plugins: [
      bridge({
        subnet: '10.99.0.0/24',
        routes: [{ dst: '0.0.0.0/0' }, { dst: '10.7.0.0/16', gw: '10.99.0.9' }],
      }),
      vrf,
    ],
    referenceLacks: 'routes that outlive the change (1.7)',
  },
  {
    name: 'a VRF that is there, with another interface in it',
    needsLinkKind,
    plugins: [v4, vrf],
    prepare(_world, netns) {
      run('ip', ...'link add host-a type veth peer name other netns'.split(' '), netns);
      ipInPod(netns, 'link add blue type vrf table 9', 'link set blue up', 'link set other master blue');
    },
    differs,
  },
];
