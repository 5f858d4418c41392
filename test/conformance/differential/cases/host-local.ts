import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DifferentialCase } from '../case.ts';

const bridge = (ipam: object, more: object = {}) => ({
  type: 'bridge',
  bridge: 'tb0',
  isGateway: true,
  ipam: { type: 'host-local', ...ipam },
  ...more,
});

/** Said on the page of bridge. */
const passedOn = {
  '^(result|cache\\.result)\\.dns': "bridge passes IPAM's DNS on; the reference's does since 1.2",
};

export const cases: DifferentialCase[] = [
  {
    name: 'old form: start, end and gateway',
    versions: ['0.2.0', '0.3.1', '0.4.0', '1.0.0'],
    plugins: [
      bridge({
        subnet: '10.99.0.0/24',
        rangeStart: '10.99.0.20',
        rangeEnd: '10.99.0.29',
        gateway: '10.99.0.254',
      }),
    ],
  },
  {
    // Two IPv4 gateways are more than a bridge takes, so it is none in the next two.
    name: 'several ranges in two sets, the old form besides',
    differs: {
      '^check$': "the reference looks for a route without gateway, where its own ADD took the pool's",
    },
    plugins: [
      bridge(
        {
          subnet: '10.97.0.0/24',
          ranges: [
            [
              { subnet: '10.99.0.0/29', rangeStart: '10.99.0.6' },
              { subnet: '10.99.1.0/24', gateway: '10.99.1.9' },
            ],
            [{ subnet: 'fd00:99::/64', rangeStart: 'fd00:99::100', rangeEnd: 'fd00:99::1ff' }],
          ],
          routes: [{ dst: '0.0.0.0/0' }, { dst: '10.5.0.0/16', gw: '10.99.0.1' }, { dst: 'fd00:5::/32' }],
        },
        { isGateway: false },
      ),
    ],
  },
  {
    name: 'ranges that the runtime brings come first',
    plugins: [bridge({ subnet: '10.97.0.0/24' }, { isGateway: false, capabilities: { ipRanges: true } })],
    capabilityArgs: { ipRanges: [[{ subnet: '10.96.0.0/24', rangeStart: '10.96.0.50' }]] },
  },
  {
    name: 'addresses asked for by capability',
    plugins: [
      bridge(
        { ranges: [[{ subnet: '10.99.0.0/24' }], [{ subnet: 'fd00:99::/64' }]] },
        { capabilities: { ips: true } },
      ),
    ],
    capabilityArgs: { ips: ['10.99.0.77/24', 'fd00:99::77'] },
  },
  {
    name: 'an address asked for by args',
    plugins: [bridge({ subnet: '10.99.0.0/24' }, { args: { cni: { ips: ['10.99.0.78'] } } })],
  },
  {
    name: 'an address asked for by CNI_ARGS',
    plugins: [bridge({ subnet: '10.99.0.0/24' })],
    args: [
      ['IgnoreUnknown', '1'],
      ['K8S_POD_NAME', 'web'],
      ['IP', '10.99.0.79'],
    ],
  },
  {
    name: 'resolvConf',
    differs: passedOn,
    plugins: [bridge({ subnet: '10.99.0.0/24', resolvConf: 'DATADIR/resolv.conf' })],
    prepare(world) {
      writeFileSync(
        join(world.makeDir('state'), 'resolv.conf'),
        '# of the test\nnameserver 192.0.2.1\nnameserver 2001:db8::1\ndomain a.test\nsearch b.test c.test\noptions ndots:2 edns0\n',
      );
    },
  },
];
