import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AttributeReader, MessageWriter } from './attributes.ts';
import { isProtocolError } from './fake-kernel.ts';

const attribute = fc.record({
  type: fc.integer({ min: 1, max: 0x3fff }),
  value: fc.uint8Array({ maxLength: 300 }),
});

test('what was written is read back, padding and growth included', () => {
  fc.assert(
    fc.property(fc.array(attribute, { maxLength: 30 }), (attributes) => {
      const writer = new MessageWriter(16);
      for (const { type, value } of attributes) writer.bytesOf(type, value);
      assert.equal(writer.length % 4, 0);
      const reader = new AttributeReader(writer.bytes());
      for (const { type, value } of attributes) {
        assert.ok(reader.next());
        assert.equal(reader.type, type);
        assert.deepEqual(reader.bytes(), Buffer.from(value));
      }
      assert.equal(reader.next(), false);
    }),
  );
});

test('numbers, strings and nesting', () => {
  const writer = new MessageWriter(4);
  writer.nested(7, () => {
    writer.u8(1, 0xfe);
    writer.u16be(2, 0x1234);
    writer.nested(3, () => writer.u32(1, 0xfffffffe));
    writer.u32be(4, -5);
    writer.u64be(5, 2n ** 63n);
    writer.string(6, 'näme');
    writer.flag(8);
  });
  const outer = new AttributeReader(writer.bytes());
  assert.ok(outer.next());
  assert.equal(outer.type, 7);
  const inner = outer.nested();
  const seen: unknown[] = [];
  while (inner.next()) {
    if (inner.type === 1) seen.push(inner.u8());
    else if (inner.type === 2) seen.push(inner.u16be());
    else if (inner.type === 3) {
      const deepest = inner.nested();
      assert.ok(deepest.next());
      seen.push(deepest.u32());
    } else if (inner.type === 4) seen.push(inner.u32be() | 0);
    else if (inner.type === 5) seen.push(inner.u64be());
    else if (inner.type === 6) seen.push(inner.string());
    else seen.push(inner.size);
  }
  assert.deepEqual(seen, [0xfe, 0x1234, 0xfffffffe, -5, 2n ** 63n, 'näme', 0]);
  assert.equal(outer.next(), false);
});

test('any bytes at all are either read to the end or refused with EPROTO', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        readEverything(new AttributeReader(Buffer.from(bytes)), 0);
      } catch (error) {
        assert.ok(isProtocolError(error), String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

function readEverything(reader: AttributeReader, depth: number): void {
  while (reader.next()) {
    reader.string();
    if (depth < 4) {
      try {
        readEverything(reader.nested(), depth + 1);
      } catch (error) {
        assert.ok(isProtocolError(error));
      }
    }
    reader.u8();
    reader.u16();
    reader.u32();
    reader.u64be();
  }
}

test('a value that is too short is refused, not read beyond', () => {
  const writer = new MessageWriter();
  writer.u16(1, 5);
  writer.u32(2, 6);
  const reader = new AttributeReader(writer.bytes());
  reader.next();
  assert.throws(() => reader.u32(), isProtocolError);
  assert.throws(() => reader.ip(), isProtocolError);
});

test('a nest or value beyond 65535 bytes is refused', () => {
  const writer = new MessageWriter();
  assert.throws(() => writer.bytesOf(1, Buffer.alloc(65532)), RangeError);
  assert.throws(() => {
    writer.nested(1, () => {
      for (let i = 0; i < 20; i++) writer.bytesOf(2, Buffer.alloc(4000));
    });
  }, RangeError);
});
