import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findConfig, readConfig } from './config.ts';

test('DEL finds keys in another case as ADD does, and takes a wrong value for none', () => {
  const of = (keys: object) => ({ config: { cniVersion: '1.0.0', name: 'n', type: 'firewall', ...keys } });
  const mixed = of({ Backend: 'firewalld', FirewalldZone: 'internal' });
  const { backend, zone } = readConfig(mixed);
  assert.deepEqual(findConfig(mixed), { backend, zone });
  assert.deepEqual([backend, zone], ['firewalld', 'internal']);
  assert.deepEqual(findConfig(of({ backend: 'ebtables', firewalldZone: 7 })), {
    backend: undefined,
    zone: 'trusted',
  });
});
