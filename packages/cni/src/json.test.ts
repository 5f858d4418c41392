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
    '{"a":-0}',
    '{"a":[-1234567890123456]}',
    '[1,-0.5e1]',
    '{"a":999999999999999,"b":1E400}',
    '-1.0',
  ]) {
    assert.equal(stringifyJson(parseJson(text)), text);
  }
  for (const text of [' -0', '{ "a" :\n\t1.0 }', '[ 12345678901234567890 ]', '["a:1.5", 1.50]']) {
    assert.equal(stringifyJson(parseJson(text)), text.replaceAll(/\s/g, ''));
  }
  // Texts that only sometimes have a number which needs care.
  const number = fc.stringMatching(/^-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?$/);
  fc.assert(
    fc.property(number, fc.string(), (digits, word) => {
      const text = `{"w":${JSON.stringify(word)},"n":[${digits},{"m":${digits}}]}`;
      assert.equal(stringifyJson(parseJson(text)), text);
    }),
  );
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify(value);
      assert.equal(stringifyJson(parseJson(text)), text);
    }),
  );
});
