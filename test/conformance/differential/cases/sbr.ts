import { ipInPod, run } from '../../lib/world.ts';
import type { DifferentialCase } from '../case.ts';

function bridge(ipam: object, more: object = {}): DifferentialCase['plugins'][number] {
  return { type: 'bridge', bridge: 'tb0', isGateway: true, ...more, ipam: { type: 'host-local', ...ipam } };
}

const sbr = { type: 'sbr' };
const v4 = bridge({ subnet: '10.99.0.0/24' });
const v6 = bridge({ subnet: 'fd00:99::/64' });
const dualStack = { ranges: [[{ subnet: '10.99.0.0/24' }], [{ subnet: 'fd00:99::/64' }]] };

/** The reference's bridge and macvlan cannot be checked together with its sbr. */
const differs = { '^check$': 'the reference looks for gateways and routes in the main table alone' };
const families = {
  ...differs,
  '^routes\\.pod': 'the table of an IPv4 address gets no IPv6 routes, and the other way round',
};

export const cases: DifferentialCase[] = [
  { name: 'one address', versions: ['0.3.1'], plugins: [v4, sbr] },
  { name: 'one address', versions: ['0.4.0', '1.0.0'], plugins: [v4, sbr], differs },
  { name: 'one IPv6 address', versions: ['0.3.1'], plugins: [v6, sbr] },
  { name: 'one IPv6 address', versions: ['0.4.0', '1.0.0'], plugins: [v6, sbr], differs },
  { name: 'both families', plugins: [bridge(dualStack), sbr], differs: families },
  {
    name: 'routes of the result',
    plugins: [
      bridge({
        subnet: '10.99.0.0/24',
        routes: [{ dst: '0.0.0.0/0' }, { dst: '10.7.0.0/16', gw: '10.99.0.9' }],
      }),
      sbr,
    ],
    differs,
  },
  {
    name: 'IPv6 routes of the result',
    plugins: [
      bridge({ subnet: 'fd00:99::/64', routes: [{ dst: '::/0' }, { dst: 'fd00:7::/48', gw: 'fd00:99::9' }] }),
      sbr,
    ],
    differs,
  },
  {
    name: 'two addresses of two networks',
    plugins: [
      bridge({ ranges: [[{ subnet: '10.99.0.0/24' }], [{ subnet: '10.98.0.0/24' }]] }, { isGateway: false }),
      sbr,
    ],
    differs,
  },
  {
    name: 'no gateway',
    plugins: [
      { type: 'bridge', bridge: 'tb0', ipam: { type: 'static', addresses: [{ address: '10.99.0.2/24' }] } },
      sbr,
    ],
    differs,
  },
  {
    name: 'tables that rules lead to are taken',
    plugins: [v4, sbr],
    prepare: (_world, netns) =>
      ipInPod(netns, 'rule add from 10.1.1.1 table 100', '-6 rule add from fd00::1 table 101'),
    differs,
  },
  {
    name: 'a pod with another interface, which has the default route',
    plugins: [v4, sbr],
    ifName: 'net1',
    prepare(_world, netns) {
      run('ip', ...'link add host-a type veth peer name eth0 netns'.split(' '), netns);
      ipInPod(
        netns,
        'link set eth0 up',
        'address add 10.88.0.2/24 dev eth0',
        'route add default via 10.88.0.1',
      );
    },
    differs,
  },
  { name: 'macvlan', plugins: [macvlan(), sbr], prepare: prepareParent, differs },
  {
    name: 'ptp',
    plugins: [
      { type: 'ptp', ipam: { type: 'host-local', subnet: '10.99.0.0/24', routes: [{ dst: '0.0.0.0/0' }] } },
      sbr,
    ],
    differs: {
      ...differs,
      noprefixroute$: "ptp gives the pod's addresses no route to take away again",
    },
  },
  { name: 'table', plugins: [v4, { ...sbr, table: 7000 }], referenceLacks: '"table" (1.3)' },
  {
    name: 'gateways',
    plugins: [bridge(dualStack), { ...sbr, gateways: ['10.99.0.254', 'fd00:99::fe'] }],
    referenceLacks: '"gateways" (1.9)',
  },
  {
    name: 'addSourceHints',
    plugins: [bridge(dualStack), { ...sbr, addSourceHints: true }],
    referenceLacks: '"addSourceHints" (1.9)',
  },
];

function macvlan(): DifferentialCase['plugins'][number] {
  const ipam = { type: 'host-local', subnet: '10.99.0.0/24' };
  return { type: 'macvlan', master: 'parent0', ipam };
}

function prepareParent(): void {
  run('ip', ...'link add parent0 type veth peer name parent1'.split(' '));
  run('ip', 'link', 'set', 'parent0', 'up');
}
