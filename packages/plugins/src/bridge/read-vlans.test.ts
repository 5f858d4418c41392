import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CniError } from '@amphipod/cni';
import fc from 'fast-check';
import { readKeys } from '../lib/read-keys.ts';
import { readVlans } from './read-vlans.ts';

function read(config: Record<string, unknown>) {
  return readVlans(readKeys(config));
}

function errorOf(config: Record<string, unknown>): CniError {
  try {
    read(config);
  } catch (error) {
    assert.ok(error instanceof CniError);
    assert.equal(error.number, 7);
    return error;
  }
  throw new Error('it was accepted');
}

test('no VLANs without a key that asks for them', () => {
  for (const config of [
    {},
    { vlan: 0 },
    { vlan: null },
    { vlanTrunk: null },
    { preserveDefaultVlan: true },
  ]) {
    assert.equal(read(config), undefined);
  }
});

test('an access port', () => {
  assert.deepEqual(read({ vlan: 4094 }), { vlanId: 4094, trunk: [], preserveDefault: false });
  assert.deepEqual(read({ vlan: 7, preserveDefaultVlan: true }), {
    vlanId: 7,
    trunk: [],
    preserveDefault: true,
  });
});

test('a trunk: ranges and single VLANs, in order, each once', () => {
  const vlanTrunk = [
    { id: 30, minID: 10, maxID: 12 },
    { id: 13 },
    { id: 11 },
    { minID: 4000, maxID: 4094 },
    {},
  ];
  assert.deepEqual(read({ vlanTrunk })?.trunk, [
    { first: 10, last: 13 },
    { first: 30, last: 30 },
    { first: 4000, last: 4094 },
  ]);
  // As in the reference: the bridge filters, and the port keeps what the kernel gives it.
  assert.deepEqual(read({ vlanTrunk: [] }), { vlanId: undefined, trunk: [], preserveDefault: false });
});

test('mistakes, in the words of the reference, and where they are', () => {
  const cases: [Record<string, unknown>, message: string, key: string][] = [
    [{ vlan: -1 }, 'invalid VLAN ID -1 (must be between 0 and 4094)', 'vlan'],
    [{ vlan: 4095 }, 'invalid VLAN ID 4095 (must be between 0 and 4094)', 'vlan'],
    [{ vlanTrunk: [{ minID: 0, maxID: 5 }] }, 'incorrect trunk minID parameter', 'vlanTrunk[0].minID'],
    [{ vlanTrunk: [{ minID: 5, maxID: 4095 }] }, 'incorrect trunk maxID parameter', 'vlanTrunk[0].maxID'],
    [
      { vlanTrunk: [{ minID: 5, maxID: 4 }] },
      'minID is greater than maxID in trunk parameter',
      'vlanTrunk[0].minID',
    ],
    [{ vlanTrunk: [{ id: 0 }] }, 'incorrect trunk id parameter', 'vlanTrunk[0].id'],
    [{ vlanTrunk: [{ id: 4095 }] }, 'incorrect trunk id parameter', 'vlanTrunk[0].id'],
    [
      { vlanTrunk: [{ minID: 5 }] },
      'minID and maxID should be configured simultaneously, maxID is missing',
      'vlanTrunk[0].maxID',
    ],
    [
      { vlanTrunk: [{ maxID: 5 }] },
      'minID and maxID should be configured simultaneously, minID is missing',
      'vlanTrunk[0].minID',
    ],
  ];
  for (const [config, message, key] of cases) {
    const { msg, key: at } = errorOf(config);
    assert.deepEqual([msg, at], [message, key]);
  }
  assert.match(errorOf({ vlan: 1.5 }).msg, /key "vlan": got 1\.5/);
  assert.match(errorOf({ vlanTrunk: [{ id: 'x' }] }).msg, /key "vlanTrunk\[0\]\.id": got "x"/);
  assert.match(errorOf({ vlanTrunk: [null] }).msg, /key "vlanTrunk": .*want a list of objects/);
});

test('the ranges of a trunk cover just the VLANs that were asked for', () => {
  const id = fc.integer({ min: 1, max: 4094 });
  const item = fc.oneof(
    fc.record({ id }),
    fc.tuple(id, id).map(([a, b]) => ({ minID: Math.min(a, b), maxID: Math.max(a, b) })),
  );
  fc.assert(
    fc.property(fc.array(item, { maxLength: 12 }), (vlanTrunk) => {
      const wanted = new Set<number>();
      for (const part of vlanTrunk) {
        const [first, last] = 'id' in part ? [part.id, part.id] : [part.minID, part.maxID];
        for (let n = first; n <= last; n++) wanted.add(n);
      }
      const { trunk } = read({ vlanTrunk })!;
      let previous = -1;
      let count = 0;
      for (const { first, last } of trunk) {
        assert.ok(first > previous + 1 && first <= last);
        for (let n = first; n <= last; n++) assert.ok(wanted.has(n));
        count += last - first + 1;
        previous = last;
      }
      assert.equal(count, wanted.size);
    }),
  );
});
