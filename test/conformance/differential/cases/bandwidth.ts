import type { DifferentialCase } from '../case.ts';

const versions = ['0.3.1', '0.4.0', '1.0.0'];
const bridge = { type: 'bridge', bridge: 'tb0', ipam: { type: 'host-local', subnet: '10.99.0.0/24' } };
const limits = { ingressRate: 8e6, ingressBurst: 8e5, egressRate: 4e6, egressBurst: 4e5 };

/** The reference redirects twice; the second action is never reached. */
const differs = {
  '^filters\\.': 'one action redirects to the ifb, where the reference has a second, unused one',
};

export const cases: DifferentialCase[] = [
  { name: 'both directions', versions, plugins: [bridge, { type: 'bandwidth', ...limits }], differs },
  {
    name: 'ingress only',
    plugins: [bridge, { type: 'bandwidth', ingressRate: 1e9, ingressBurst: 1e6 }],
  },
  {
    name: 'egress only, on a pair with another mtu',
    plugins: [
      { ...bridge, mtu: 1400 },
      { type: 'bandwidth', egressRate: 1_000_003, egressBurst: 99_999 },
    ],
    differs,
  },
  {
    name: 'runtimeConfig',
    versions,
    plugins: [bridge, { type: 'bandwidth', capabilities: { bandwidth: true } }],
    capabilityArgs: { bandwidth: limits },
    differs,
  },
  {
    name: 'keys of the configuration override runtimeConfig',
    plugins: [
      bridge,
      { type: 'bandwidth', capabilities: { bandwidth: true }, ingressRate: 3e6, ingressBurst: 3e6 },
    ],
    capabilityArgs: { bandwidth: limits },
  },
  {
    name: 'no limits',
    plugins: [bridge, { type: 'bandwidth', capabilities: { bandwidth: true }, ingressRate: 0 }],
  },
  {
    name: 'rates beyond 32 bits and bursts of seconds',
    plugins: [
      bridge,
      {
        type: 'bandwidth',
        ingressRate: 80e9,
        ingressBurst: 34e9,
        egressRate: 64_000,
        egressBurst: 800_000,
      },
    ],
    differs: {
      ...differs,
      '^qdiscs\\..*\\.(lat|limit)$':
        'a queue that 32 bits cannot hold is as long as they can say, not what is left of it by overflow',
    },
  },
  {
    name: 'limits for some subnets',
    plugins: [bridge, { type: 'bandwidth', ...limits, shapedSubnets: ['10.0.0.0/8', 'fd00::/8'] }],
    referenceLacks: 'shapedSubnets (1.5 alone has it)',
  },
  {
    name: 'limits for all but some subnets',
    plugins: [bridge, { type: 'bandwidth', ...limits, unshapedSubnets: ['10.0.0.0/8'] }],
    referenceLacks: 'unshapedSubnets (1.5 alone has it)',
  },
];
