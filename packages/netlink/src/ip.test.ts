import assert from 'node:assert/strict';
import { isIPv4, isIPv6 } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  broadcastOf,
  cidrOf,
  cidrSize,
  compareIp,
  contains,
  formatCidr,
  formatIp,
  type IpAddress,
  ipBits,
  ipFromBytes,
  ipToBytes,
  netmaskOf,
  networkOf,
  nextIp,
  overlaps,
  parseCidr,
  parseIp,
  previousIp,
  rangeSize,
  tryParseCidr,
  tryParseIp,
} from './ip.ts';

const ip4 = fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }).map((value): IpAddress => ({ family: 4, value }));
const ip6 = fc
  .array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 })
  .map(
    (groups): IpAddress => ({ family: 6, value: groups.reduce((sum, g) => (sum << 16n) | BigInt(g), 0n) }),
  );
const ip = fc.oneof(ip4, ip6);
const cidr = ip.chain((address) =>
  fc.integer({ min: 0, max: ipBits(address.family) }).map((prefix) => cidrOf(address, prefix)),
);

test('text and bytes come back as the same address, and Node.js agrees that it is one', () => {
  fc.assert(
    fc.property(ip, (address) => {
      const text = formatIp(address);
      assert.deepEqual(parseIp(text), address);
      assert.ok(address.family === 4 ? isIPv4(text) : isIPv6(text), text);
      assert.deepEqual(ipFromBytes(ipToBytes(address)), address);
    }),
  );
});

test('IPv6 text is that of RFC 5952', () => {
  const cases: [string, string][] = [
    ['2001:0DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
    ['::ffff:c000:201', '::ffff:192.0.2.1'],
    ['fe80::1', 'fe80::1'],
  ];
  for (const [given, canonical] of cases) assert.equal(formatIp(parseIp(given)), canonical);
});

test('what is not an address is refused', () => {
  // biome-ignore format: one line reads best
  const bad = ['', '1.2.3', '1.2.3.4.5', '01.2.3.4', '256.1.1.1', '1.2.3.4 ', '1.2.3.-4', '::1%eth0', ':::', '1::2::3',
    '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7::8:9', '12345::', 'g::', ':1:2:3:4:5:6:7', '1.2.3.4::', '::1.2.3',
    '1:2:3:4:5:6:7:1.2.3.4', '1::2:3:4:5:6:7:8'];
  for (const text of bad) assert.equal(tryParseIp(text), undefined, text);
  assert.throws(() => parseIp('x'), { message: 'parse ip address "x": not an IPv4 or IPv6 address' });
  for (const text of [
    '10.0.0.1',
    '10.0.0.1/',
    '10.0.0.1/33',
    '10.0.0.1/08',
    '10.0.0.1/-1',
    '::/129',
    '/8',
    '::/1/2',
  ]) {
    assert.equal(tryParseCidr(text), undefined, text);
  }
});

test('any text is parsed or refused as Node.js does it', () => {
  const text = fc.oneof(
    fc.string({ maxLength: 20, unit: fc.constantFrom(...'0123456789abcdef:.'.split('')) }),
    ip.map(formatIp),
  );
  fc.assert(
    fc.property(text, (value) => {
      assert.equal(tryParseIp(value) !== undefined, isIPv4(value) || isIPv6(value), value);
    }),
    { numRuns: 5000 },
  );
});

test('a network: first and last address, size, mask', () => {
  fc.assert(
    fc.property(cidr, (value) => {
      assert.deepEqual(parseCidr(formatCidr(value)), value);
      const network = networkOf(value);
      const last = broadcastOf(value);
      assert.deepEqual(networkOf(network), network);
      assert.equal(rangeSize(network.ip, last), cidrSize(value));
      assert.ok(contains(value, value.ip) && contains(value, network.ip) && contains(value, last));
      const before = previousIp(network.ip);
      const after = nextIp(last);
      assert.ok(before === undefined || !contains(value, before));
      assert.ok(after === undefined || !contains(value, after));
      assert.equal(netmaskOf(value).value & value.ip.value, network.ip.value);
    }),
  );
  assert.equal(formatIp(netmaskOf(parseCidr('10.1.2.3/20'))), '255.255.240.0');
  assert.equal(formatIp(broadcastOf(parseCidr('10.1.2.3/24'))), '10.1.2.255');
});

test('one network contains or overlaps another', () => {
  const within = (a: string, b: string) => contains(parseCidr(a), parseCidr(b));
  assert.equal(within('10.0.0.0/8', '10.1.0.0/16'), true);
  assert.equal(within('10.1.0.0/16', '10.0.0.0/8'), false);
  assert.equal(within('0.0.0.0/0', '::/0'), false);
  fc.assert(
    fc.property(cidr, cidr, (a, b) => {
      const isShared = contains(a, networkOf(b).ip) || contains(b, networkOf(a).ip);
      assert.equal(overlaps(a, b), isShared);
    }),
  );
});

test('order, neighbours and the ends of the address space', () => {
  fc.assert(
    fc.property(ip, ip, (a, b) => {
      assert.equal(Math.sign(compareIp(a, b)) + Math.sign(compareIp(b, a)), 0);
      const next = nextIp(a);
      if (next !== undefined) {
        assert.deepEqual(previousIp(next), a);
        assert.ok(compareIp(a, next) < 0);
      }
    }),
  );
  assert.equal(nextIp(parseIp('255.255.255.255')), undefined);
  assert.equal(previousIp(parseIp('::')), undefined);
  assert.equal(rangeSize(parseIp('10.0.0.9'), parseIp('10.0.0.1')), 0n);
  assert.equal(rangeSize(parseIp('::'), parseIp('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff')), 2n ** 128n);
  assert.throws(() => cidrOf(parseIp('10.0.0.1'), 33), RangeError);
  assert.throws(() => ipFromBytes(Buffer.alloc(5)), RangeError);
});
