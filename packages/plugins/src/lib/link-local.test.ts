import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCidr } from '@amphipod/netlink';
import { linkLocalOf } from './link-local.ts';

test('linkLocalOf flips the universal bit and puts ff:fe in the middle', () => {
  assert.equal(formatCidr(linkLocalOf('02:2b:1f:0e:a7:b8')), 'fe80::2b:1fff:fe0e:a7b8/64');
  assert.equal(formatCidr(linkLocalOf('52:54:00:12:34:56')), 'fe80::5054:ff:fe12:3456/64');
});
