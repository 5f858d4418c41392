import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseJson, stringifyJson } from './json.ts';

test('JSON keeps the text of every number', () => {
  for (const text of [
    '12345678901234567890',
    '1.0',
    '1e3',
    '-0',
    '0.1',
    '5',
    '[1,2.50,{"a":9007199254740993}]',
  ]) {
    assert.equal(stringifyJson(parseJson(text)), text);
  }
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify(value);
      assert.equal(stringifyJson(parseJson(text)), text);
    }),
  );
});
