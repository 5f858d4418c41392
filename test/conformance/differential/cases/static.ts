import type { DifferentialCase } from '../case.ts';

const bridge = (ipam: object, more: object = {}) => ({
  type: 'bridge',
  bridge: 'tb0',
  ipam: { type: 'static', ...ipam },
  ...more,
});

/** Said on the page of bridge. */
const passedOn = {
  '^(result|cache\\.result)\\.dns': "bridge passes IPAM's DNS on; the reference's does since 1.2",
};

export const cases: DifferentialCase[] = [
  {
    name: 'addresses, gateways, routes, dns',
    differs: passedOn,
    versions: ['0.2.0', '0.3.1', '0.4.0', '1.0.0'],
    plugins: [
      bridge({
        addresses: [
          { address: '10.99.0.5/24', gateway: '10.99.0.1' },
          { address: 'fd00:99::5/64', gateway: 'fd00:99::1' },
        ],
        routes: [
          { dst: '0.0.0.0/0' },
          { dst: '10.5.0.0/16', gw: '10.99.0.9' },
          { dst: '::/0', gw: 'fd00:99::1' },
        ],
        dns: { nameservers: ['192.0.2.53'], domain: 'a.test', search: ['b.test'], options: ['ndots:2'] },
      }),
    ],
  },
  {
    name: 'several addresses of a family',
    plugins: [bridge({ addresses: [{ address: '10.99.0.5/24' }, { address: '10.98.0.5/16' }] })],
  },
  {
    name: 'CNI_ARGS',
    plugins: [bridge({ addresses: [{ address: '10.99.0.5/24' }] })],
    args: [
      // The bridge looks at its arguments too, and knows neither.
      ['IgnoreUnknown', '1'],
      ['IP', '10.98.0.5/16'],
      ['GATEWAY', '10.98.0.1,10.99.0.1'],
    ],
  },
  {
    name: 'args.cni.ips',
    plugins: [
      bridge({ addresses: [{ address: '10.99.0.5/24' }] }, { args: { cni: { ips: ['10.97.0.5/24'] } } }),
    ],
  },
  {
    name: 'capability ips',
    plugins: [bridge({ addresses: [{ address: '10.99.0.5/24' }] }, { capabilities: { ips: true } })],
    capabilityArgs: { ips: ['10.96.0.5/24', 'fd00:96::5/64'] },
  },
];
