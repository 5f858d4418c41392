import assert from 'node:assert/strict';
import { test } from 'node:test';
import { comment, ctState, inInterface, outInterface } from './xt.ts';

test('a comment fills struct xt_comment_info and leaves room for its end', () => {
  const { name, revision, info } = comment('of the pods');
  assert.deepEqual([name, revision, info.length], ['comment', 0, 256]);
  assert.equal(info.toString('latin1'), 'of the pods'.padEnd(256, '\0'));
  assert.equal(comment('é'.repeat(127)).info.at(254), 0);
  assert.equal(comment('x'.repeat(255)).info.at(255), 0);
});

test('a comment that would be cut short is refused', () => {
  for (const text of ['x'.repeat(256), 'é'.repeat(128), 'a\0b'])
    assert.throws(() => comment(text), RangeError);
});

test('connection states: the flag that says what is compared, and the bits', () => {
  const { name, revision, info } = ctState(0b110);
  assert.deepEqual([name, revision, info.length], ['conntrack', 3, 168]);
  const set = [...info.entries()].filter(([, byte]) => byte !== 0);
  assert.deepEqual(set, [
    [146, 1],
    [150, 0b110],
  ]);
});

test('an interface is compared with its whole name, end included', () => {
  const [load, compare] = inInterface('br0');
  assert.deepEqual(load, { expr: 'meta', key: 'iifname', register: 0 });
  assert.deepEqual(compare, { expr: 'cmp', register: 0, op: '==', data: Buffer.from('br0\0') });
  const [loadOut, compareOut] = outInterface('br0', '!=');
  assert.deepEqual(loadOut, { expr: 'meta', key: 'oifname', register: 0 });
  assert.deepEqual(compareOut, { expr: 'cmp', register: 0, op: '!=', data: Buffer.from('br0\0') });
});
