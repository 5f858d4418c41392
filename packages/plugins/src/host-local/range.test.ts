import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareIp, formatIp, parseCidr, parseIp } from '@amphipod/netlink';
import fc from 'fast-check';
import { candidates, checkRangeSet, completeRange, formatRangeSet, type IpRange, rangeFor } from './range.ts';

const range = (subnet: string, more: { start?: string; end?: string; gateway?: string } = {}): IpRange =>
  completeRange({
    subnet: parseCidr(subnet),
    ...(more.start !== undefined && { start: parseIp(more.start) }),
    ...(more.end !== undefined && { end: parseIp(more.end) }),
    ...(more.gateway !== undefined && { gateway: parseIp(more.gateway) }),
  });
const given = (set: IpRange[], last?: string) =>
  [...candidates(set, last === undefined ? undefined : parseIp(last))].map(({ ip }) => formatIp(ip));

test('defaults: first address the gateway, broadcast never given', () => {
  assert.deepEqual(given([range('10.1.2.0/29')]), [
    '10.1.2.2',
    '10.1.2.3',
    '10.1.2.4',
    '10.1.2.5',
    '10.1.2.6',
  ]);
  assert.deepEqual(
    given([range('fd00::/125')]),
    [2, 3, 4, 5, 6, 7].map((n) => `fd00::${n}`),
  );
  assert.equal(
    formatRangeSet([range('10.1.2.0/29'), range('10.1.3.0/24', { start: '10.1.3.5', end: '10.1.3.9' })]),
    '10.1.2.1-10.1.2.6,10.1.3.5-10.1.3.9',
  );
});

test('round robin over ranges, from the one after the last', () => {
  const set = [range('10.1.2.0/29', { start: '10.1.2.5' }), range('10.1.3.0/29', { end: '10.1.3.3' })];
  assert.deepEqual(given(set, '10.1.2.6'), ['10.1.3.2', '10.1.3.3', '10.1.2.5', '10.1.2.6']);
  assert.deepEqual(given(set, '10.1.3.3'), ['10.1.2.5', '10.1.2.6', '10.1.3.2', '10.1.3.3']);
  assert.deepEqual(given(set, '192.0.2.1'), ['10.1.2.5', '10.1.2.6', '10.1.3.2', '10.1.3.3']);
});

test('a range of one address, and of the gateway alone', () => {
  const only = { start: '10.1.2.4', end: '10.1.2.4' };
  assert.deepEqual(given([range('10.1.2.0/29', only)], '10.1.2.4'), ['10.1.2.4']);
  assert.deepEqual(given([range('10.1.2.0/29', { ...only, gateway: '10.1.2.4' })]), []);
});

test('every address of a set comes exactly once, wherever the round starts', () => {
  const sets = fc
    .tuple(fc.integer({ min: 26, max: 30 }), fc.nat(255), fc.nat(255))
    .map(([prefix, a, b]) => [range(`10.${a}.0.0/${prefix}`), range(`11.${b}.0.0/${prefix}`)]);
  fc.assert(
    fc.property(sets, fc.nat(200), (set, skip) => {
      const all = given(set);
      assert.equal(new Set(all).size, all.length);
      const last = all[skip % all.length]!;
      const round = given(set, last);
      assert.deepEqual(round.toSorted(), all.toSorted());
      assert.equal(round.at(-1), last);
      for (const text of all) {
        const ip = parseIp(text);
        const home = rangeFor(set, ip)!;
        assert.ok(
          compareIp(ip, home.start) >= 0 && compareIp(ip, home.end) <= 0 && compareIp(ip, home.gateway) !== 0,
        );
      }
    }),
  );
});

test('an empty set', () => {
  assert.throws(() => checkRangeSet([]), { message: 'empty range set' });
});
