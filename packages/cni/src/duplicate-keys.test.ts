import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { duplicateKeys } from './duplicate-keys.ts';

test('keys that an object has twice', () => {
  for (const [text, wanted] of [
    ['{}', []],
    ['"a:b"', []],
    ['{"a":1,"b":2}', []],
    ['{"a":1,"a":2}', [['a']]],
    [
      '{"a":{"b.c":1},"d":{"b.c":1,"b.c":2,"b.c":3}}',
      [
        ['d', 'b.c'],
        ['d', 'b.c'],
      ],
    ],
    // The same name on different levels, in strings, and written differently.
    ['{"a":{"a":"\\"a\\":1,"},"b":[{"x":1},{"x":1,"\\u0078":2}]}', [['b', '1', 'x']]],
    ['{"a":[1,2,"{"],"a":[]}', [['a']]],
  ] as const) {
    assert.deepEqual(duplicateKeys(text), wanted, text);
  }
});

test('what JSON.stringify writes has no key twice', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      assert.deepEqual(duplicateKeys(text), []);
    }),
  );
});
