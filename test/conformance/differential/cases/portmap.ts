import type { DifferentialCase } from '../case.ts';

export const cases: DifferentialCase[] = [
  {
    name: 'masquerading and a port',
    plugins: [
      {
        type: 'bridge',
        bridge: 'tb0',
        isGateway: true,
        ipMasq: true,
        ipam: { type: 'host-local', subnet: '10.99.0.0/24', routes: [{ dst: '0.0.0.0/0' }] },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
    capabilityArgs: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] },
    differs: {
      '^(del:)?(nft|iptables)\\.': 'nftables is the default here, in tables of our own',
      '^check$': 'the reference of Debian 12 cannot check ports of a pod without IPv6',
    },
  },
];
