import type { DifferentialCase } from '../case.ts';

const common = { needsLinkKind: 'dummy', referenceLacks: 'the plugin (1.3.0)' };

export const cases: DifferentialCase[] = [
  {
    ...common,
    name: 'IPv4',
    versions: ['0.4.0', '1.0.0'],
    plugins: [{ type: 'dummy', ipam: { type: 'host-local', subnet: '10.99.0.0/24' } }],
  },
  {
    ...common,
    name: 'IPv6',
    plugins: [{ type: 'dummy', ipam: { type: 'host-local', subnet: 'fd00:99::/64' } }],
  },
];
