import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePsched, transmitTicks } from './psched.ts';

test('the clock: as Linux has it, of microseconds, of nanoseconds, and what is none', () => {
  assert.deepEqual(parsePsched('000003e8 00000040 000f4240 3b9aca00\n'), { ticksPerMicrosecond: 15.625 });
  assert.deepEqual(parsePsched('00000200 00000200 000f4240 00000064'), { ticksPerMicrosecond: 1 });
  assert.deepEqual(parsePsched('00000001 00000040 3b9aca00 00000064'), { ticksPerMicrosecond: 1000 });
  for (const text of ['', '1 2', '0 0 0 0', 'a b x d']) {
    assert.throws(() => parsePsched(text), {
      message: `read packet scheduler clock: got ${JSON.stringify(text)}`,
    });
  }
});

test('ticks: cut to whole microseconds first, as tc does it, and no more than 32 bits hold', () => {
  const psched = { ticksPerMicrosecond: 15.625 };
  // `tc qdisc add … tbf rate 8mbit burst 100000`: 100 ms.
  assert.equal(transmitTicks(psched, 100_000, 1_000_000), 1_562_500);
  assert.equal(transmitTicks(psched, 1, 3_000_000), 0);
  assert.equal(transmitTicks(psched, 4, 3_000_000), 15);
  assert.equal(transmitTicks(psched, 2 ** 31, 1), 0xffff_ffff);
});
