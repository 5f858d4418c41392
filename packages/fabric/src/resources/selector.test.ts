import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSelector, selects } from './selector.ts';

const labels = { a: 'b', rack: 'rack-12', 'example.com/zone': 'x' };

const cases: [selector: string, isSelected: boolean][] = [
  ['', true],
  ['all()', true],
  ['all( )', true],
  ['global()', false],
  ['has(a)', true],
  ['has( nothing )', false],
  ['!has(nothing)', true],
  ['!!has(a)', true],
  ['a == "b"', true],
  ["a=='b'", true],
  ['a != "b"', false],
  ['nothing != "b"', true],
  ['nothing == ""', false],
  ['a in {"x", "b"}', true],
  ['a in {}', false],
  ['a not in {"x", "b"}', false],
  ['a notin {"x"}', true],
  ['nothing not in {"x"}', true],
  ['rack contains "ck-"', true],
  ['rack starts with "rack"', true],
  ['rack startswith "ack"', false],
  ['rack ends with "12"', true],
  ['nothing contains ""', false],
  ['example.com/zone == "x"', true],
  ['a == "b" && has(nothing) || has(rack)', true],
  ['a == "b" && (has(nothing) || has(rack))', true],
  ['!(a == "b" && has(rack))', false],
  ['has(has) || all == "x" || has(a)', true],
  ['toString == "x" || has(constructor)', false],
];

for (const [text, isSelected] of cases) {
  test(`${JSON.stringify(text)} ${isSelected ? 'selects' : 'does not select'}`, () => {
    assert.equal(selects(parseSelector(text), labels), isSelected);
  });
}

const wrong: [selector: string, column: number][] = [
  ['a', 2],
  ['a =', 2],
  ['a == b', 5],
  ['a == "b', 5],
  ['a in "b"', 5],
  ['a in {"b" "c"}', 10],
  ['a inside {"b"}', 2],
  ['has(a', 6],
  ['(a == "b"', 10],
  ['a == "b")', 9],
  ['a == "b" &', 9],
  ['== "b"', 1],
  ['a == "b" has(c)', 9],
];

for (const [text, column] of wrong) {
  test(`${JSON.stringify(text)} is refused`, () => {
    assert.throws(() => parseSelector(text), {
      code: 'invalid-selector',
      message: new RegExp(`column ${column}: want `),
    });
  });
}
