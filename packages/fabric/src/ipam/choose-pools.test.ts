import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type IpPool, withPoolDefaults } from '../resources/ip-pool.ts';
import { apiVersion } from '../resources/metadata.ts';
import { choosePools, type PoolWish } from './choose-pools.ts';

function pool(name: string, cidr: string, spec: object = {}, created = '2026-12-01T12:00:00Z'): IpPool {
  const metadata = { name, creationTimestamp: created };
  return withPoolDefaults({ kind: 'IPPool', apiVersion, metadata, spec: { cidr, ...spec } });
}

const wish: PoolWish = {
  family: 4,
  use: 'Workload',
  nodeLabels: { rack: '1' },
  namespaceLabels: { team: 'x' },
  requested: [],
};
const names = (pools: readonly IpPool[], change: Partial<PoolWish> = {}) =>
  choosePools(pools, { ...wish, ...change }).map(({ metadata }) => metadata.name);

test('pools are chosen by family, use, mode and what they select', () => {
  const pools = [
    pool('six', 'fd00::/48'),
    pool('off', '10.0.0.0/16', { disabled: true }),
    pool('manual', '10.1.0.0/16', { assignmentMode: 'Manual' }),
    pool('tunnel', '10.2.0.0/16', { allowedUses: ['Tunnel'] }),
    pool('rack2', '10.3.0.0/16', { nodeSelector: 'rack == "2"' }),
    pool('team', '10.4.0.0/16', { namespaceSelector: 'team == "x"', allowedUses: ['Workload'] }),
    pool('any', '10.5.0.0/16'),
  ];
  assert.deepEqual(names(pools), ['team', 'any']);
  assert.deepEqual(names(pools, { namespaceLabels: {} }), ['any']);
  assert.deepEqual(names(pools, { use: 'Tunnel' }), ['tunnel', 'any']);
  assert.deepEqual(names(pools, { family: 6 }), ['six']);
  assert.throws(() => names(pools.slice(0, 6), { namespaceLabels: {} }), {
    code: 'no-pool',
    message:
      'choose IPPool for IPv4: none can be used: "off" is disabled, "manual" is for those who ask for it (assignmentMode Manual), ' +
      '"tunnel" is not for the use Workload (Tunnel), "rack2" does not select the node (rack == "2"), "team" does not select the namespace (team == "x")',
  });
  assert.throws(() => names([]), { code: 'no-pool', message: 'choose IPPool for IPv4: there is none' });
});

test('of two pools that overlap the younger one is left alone', () => {
  const [old, young] = [pool('z', '10.0.0.0/16'), pool('a', '10.0.1.0/24', {}, '2026-12-01T12:00:01Z')];
  assert.deepEqual(names([young, old]), ['z']);
});
