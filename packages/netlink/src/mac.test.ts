import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomMac } from './mac.ts';

test('hardware addresses are local and no multicast ones', () => {
  const macs = Array.from({ length: 200 }, randomMac);
  assert.equal(new Set(macs).size, macs.length);
  for (const mac of macs) {
    assert.match(mac, /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/);
    assert.equal(Number.parseInt(mac.slice(0, 2), 16) & 3, 2);
  }
});
