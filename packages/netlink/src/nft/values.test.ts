import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AttributeReader, MessageWriter } from '../attributes.ts';
import type { IpAddress } from '../ip.ts';
import { formatMac } from '../mac.ts';
import { joinRanges, parseElementList } from './element-parse.ts';
import { kernelElements } from './element-write.ts';
import { parseExpression } from './expression-parse.ts';
import type { NftExpression, NftNatFlag } from './expression-types.ts';
import { writeExpression } from './expression-write.ts';
import type { NftElement, NftMap, NftSet } from './objects.ts';
import { writeOp } from './op-write.ts';
import { commentItem, encodeUserData, findComment } from './userdata.ts';
import {
  decodeKey,
  encodeKey,
  keyBytes,
  keyTypeId,
  keyTypesOf,
  type NftValue,
  type NftValueType,
  valueTypes,
} from './value-types.ts';

const typeNames = Object.keys(valueTypes) as NftValueType[];

function arbitraryOf(type: NftValueType): fc.Arbitrary<NftValue> {
  const { encoding, bytes } = valueTypes[type];
  switch (encoding) {
    case 'ip':
      return fc
        .bigInt({ min: 0n, max: 2n ** BigInt(8 * bytes) - 1n })
        .map((value): IpAddress => ({ family: bytes === 4 ? 4 : 6, value }));
    case 'mac':
      return fc.uint8Array({ minLength: 6, maxLength: 6 }).map(formatMac);
    case 'text':
      return fc.string({ unit: fc.constantFrom(...'eth0.vlan-'.split('')), maxLength: 15 });
    case 'number':
      return fc.integer({ min: 0, max: 2 ** (8 * bytes) - 1 });
  }
}

const key = fc
  .array(fc.constantFrom(...typeNames), { minLength: 1, maxLength: 5 })
  .chain((types) => fc.tuple(fc.constant(types), fc.tuple(...types.map(arbitraryOf))));

test('keys of every type and concatenation come back as they were', () => {
  fc.assert(
    fc.property(key, ([types, values]) => {
      const bytes = encodeKey(types, values);
      assert.equal(bytes.length, keyBytes(types));
      assert.deepEqual(decodeKey(types, bytes), values);
      assert.deepEqual(keyTypesOf(keyTypeId(types)), types);
    }),
  );
});

test('a type number that is not known is no guess', () => {
  assert.equal(keyTypesOf(0), undefined);
  assert.equal(keyTypesOf(63), undefined);
  assert.equal(keyTypesOf((63 << 6) | 7), undefined);
});

test('comments of any text up to 127 bytes come back; anything else in user data is none', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 30, unit: 'grapheme' }), (text) => {
      fc.pre(!text.includes('\0') && Buffer.byteLength(text) < 128);
      assert.equal(
        findComment(encodeUserData([{ type: 5, value: Buffer.alloc(4) }, commentItem(text)])),
        text,
      );
    }),
  );
  assert.throws(() => commentItem('ä'.repeat(64)), RangeError);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 20 }), (bytes) => {
      const found = findComment(Buffer.from(bytes));
      assert.ok(found === undefined || typeof found === 'string');
    }),
  );
});

const register = fc.integer({ min: 0, max: 15 });
const data = fc.uint8Array({ minLength: 1, maxLength: 16 }).map((bytes) => Buffer.from(bytes));
const expression: fc.Arbitrary<NftExpression> = fc.oneof(
  fc.record({
    expr: fc.constant('payload' as const),
    base: fc.constantFrom('link' as const, 'network' as const, 'transport' as const),
    offset: fc.nat({ max: 255 }),
    length: fc.integer({ min: 1, max: 16 }),
    register,
  }),
  fc.record({
    expr: fc.constantFrom('meta' as const, 'meta-set' as const),
    key: fc.constantFrom('mark' as const, 'iifname' as const, 'l4proto' as const),
    register,
  }),
  fc.record(
    {
      expr: fc.constant('ct' as const),
      key: fc.constantFrom('state' as const, 'proto-dst' as const),
      direction: fc.constantFrom('original' as const, 'reply' as const),
      register,
    },
    { requiredKeys: ['expr', 'key', 'register'] },
  ),
  fc.record({
    expr: fc.constant('fib' as const),
    result: fc.constantFrom('type' as const, 'oif' as const),
    flags: fc.subarray(['saddr' as const, 'daddr' as const, 'mark' as const, 'iif' as const]),
    register,
  }),
  fc.record({
    expr: fc.constant('xt-match' as const),
    name: fc.constantFrom('comment', 'conntrack'),
    revision: fc.nat({ max: 255 }),
    info: data,
  }),
  fc.record({
    expr: fc.constant('cmp' as const),
    register,
    op: fc.constantFrom('==' as const, '!=' as const, '<' as const, '>=' as const),
    data,
  }),
  fc.record(
    { expr: fc.constant('range' as const), register, from: data, to: data, isInverted: fc.constant(true) },
    { requiredKeys: ['expr', 'register', 'from', 'to'] },
  ),
  data.chain((mask) =>
    fc.record({ expr: fc.constant('bitwise' as const), register, mask: fc.constant(mask), xor: data }),
  ),
  fc.record(
    {
      expr: fc.constant('lookup' as const),
      set: fc.constant('s'),
      register,
      to: fc.oneof(register, fc.constant('verdict' as const)),
      isInverted: fc.constant(true),
    },
    { requiredKeys: ['expr', 'set', 'register'] },
  ),
  fc.record({ expr: fc.constant('immediate' as const), register, data }),
  fc.constantFrom(
    ...(['accept', 'drop', 'return', 'continue'] as const).map((verdict) => ({
      expr: 'verdict' as const,
      verdict,
    })),
    ...(['jump', 'goto'] as const).map((verdict) => ({ expr: 'verdict' as const, verdict, chain: 'c' })),
  ),
  fc.record(
    {
      expr: fc.constant('nat' as const),
      type: fc.constantFrom('snat' as const, 'dnat' as const),
      family: fc.constantFrom('ip' as const, 'ip6' as const),
      address: register,
      addressMax: register,
      port: register,
      portMax: register,
      flags: fc.constantFrom<NftNatFlag[]>(['random'], ['persistent', 'fully-random']),
    },
    { requiredKeys: ['expr', 'type', 'family'] },
  ),
  fc.record(
    {
      expr: fc.constantFrom('masquerade' as const, 'redirect' as const),
      port: register,
      flags: fc.constant<NftNatFlag[]>(['random']),
    },
    { requiredKeys: ['expr'] },
  ),
  fc.record({
    expr: fc.constant('counter' as const),
    packets: fc.bigInt(0n, 2n ** 64n - 1n),
    bytes: fc.constant(7n),
  }),
  fc.record(
    {
      expr: fc.constant('log' as const),
      prefix: fc.constant('p'),
      level: fc.constantFrom('warn' as const, 'debug' as const),
      group: fc.nat({ max: 65535 }),
      snapLength: fc.nat(),
    },
    { requiredKeys: ['expr'] },
  ),
  fc.record(
    {
      expr: fc.constant('limit' as const),
      rate: fc.bigInt(1n, 1000n),
      unit: fc.constantFrom('second' as const, 'week' as const),
      burst: fc.nat({ max: 100 }),
      kind: fc.constantFrom('packets' as const, 'bytes' as const),
      isOver: fc.constant(true),
    },
    { requiredKeys: ['expr', 'rate', 'unit', 'burst', 'kind'] },
  ),
  fc.record({
    expr: fc.constant('reject' as const),
    type: fc.constantFrom('icmp' as const, 'icmpx' as const, 'tcp reset' as const),
    code: fc.nat({ max: 15 }),
  }),
  fc.constant({ expr: 'notrack' as const }),
);

test('expressions of every kind come back as they were', () => {
  fc.assert(
    fc.property(expression, (generated) => {
      const value = { ...generated };
      const writer = new MessageWriter(8);
      writeExpression(writer, value);
      const reader = new AttributeReader(writer.bytes());
      assert.ok(reader.next());
      assert.deepEqual(parseExpression(reader.nested()), value);
    }),
    { numRuns: 2000 },
  );
});

test('an expression of another kind is kept as unknown, and cannot be written', () => {
  const writer = new MessageWriter();
  writer.string(1, 'numgen');
  writer.nested(2, () => writer.u32be(1, 5));
  const found = parseExpression(new AttributeReader(writer.bytes()));
  assert.deepEqual(found, { expr: 'unknown', name: 'numgen', data: Buffer.from('0800010000000005', 'hex') });
  assert.throws(() => writeExpression(new MessageWriter(), found), /not known/);
  assert.throws(
    () => writeExpression(new MessageWriter(), { expr: 'meta', key: 'mark', register: 16 }),
    RangeError,
  );
});

const common = { family: 'ip', table: 't', set: 's' } as const;
const ports: NftSet = { object: 'set', ...common, key: ['inet_service'], hasIntervals: true };
const pairs: NftMap = {
  object: 'map',
  ...common,
  key: ['ipv4_addr', 'inet_service'],
  data: ['mark'],
  hasIntervals: true,
};

function throughTheKernel(set: NftSet | NftMap, elements: NftElement[]): NftElement[] {
  const writer = new MessageWriter();
  writeOp(writer, { op: 'add', object: 'elements', of: set, elements }, () => writer.finish(1));
  return joinRanges(set, parseElementList(Buffer.from(writer.bytes().subarray(16))));
}

test('ranges of a plain key, to the very last value, come back as they were', () => {
  const bounds = fc.uniqueArray(fc.integer({ min: 0, max: 0xffff }), { minLength: 2, maxLength: 20 });
  fc.assert(
    fc.property(bounds, fc.boolean(), (values, isTouching) => {
      const sorted = values.toSorted((a, b) => a - b);
      const elements: NftElement[] = [];
      for (let i = 0; i + 1 < sorted.length; i += 2) {
        const last = isTouching && i + 2 < sorted.length ? sorted[i + 2]! - 1 : sorted[i + 1]!;
        elements.push(last === sorted[i] ? { key: [last] } : { key: [sorted[i]!], keyEnd: [last] });
      }
      assert.deepEqual(throughTheKernel(ports, elements), elements);
    }),
  );
  assert.deepEqual(throughTheKernel(ports, [{ key: [0], keyEnd: [0xffff] }]), [
    { key: [0], keyEnd: [0xffff] },
  ]);
  assert.equal(kernelElements(ports, [{ key: [0xffff] }]).length, 1);
});

test('ranges of a concatenation keep both ends, the data and the comment in one element', () => {
  const ip = (value: bigint): IpAddress => ({ family: 4, value });
  const element: NftElement = {
    key: [ip(5n), 80],
    keyEnd: [ip(9n), 90],
    data: [0x2000],
    comment: 'x',
    timeoutMs: 1000,
  };
  assert.deepEqual(throughTheKernel(pairs, [element]), [element]);
  assert.deepEqual(throughTheKernel(pairs, [{ key: [ip(5n), 80], data: [1] }]), [
    { key: [ip(5n), 80], data: [1] },
  ]);
});
