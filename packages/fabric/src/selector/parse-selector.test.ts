import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseSelector, parseSelectorOrGlobal } from './parse-selector.ts';
import { formatSelector, matchesSelector, type Selector } from './selector.ts';

const labels = new Map([
  ['app', 'web'],
  ['k8s.io/tier', 'front-end'],
  ['empty', ''],
  ['in', 'x'],
]);

describe('the selector grammar of Calico', () => {
  for (const [text, expected] of [
    ['', true],
    ['  ', true],
    ['all()', true],
    ['all( )', true],
    ['!all()', false],
    ['has(app)', true],
    ['has( missing )', false],
    ["app == 'web'", true],
    ['app=="web"', true],
    ["app != 'web'", false],
    ["missing != 'web'", true],
    ["missing == ''", false],
    ["empty == ''", true],
    ["app in {'a', 'web'}", true],
    ['app in {}', false],
    ["app not in {'a'}", true],
    ["app not  in{'web'}", false],
    ["app notin {'x'}", true],
    ["app in {'a', 'web',}", true],
    ["k8s.io/tier startswith 'front'", true],
    ["k8s.io/tier endswith 'front'", false],
    ["has(has) || all == 'x' || has(app)", true],
    ["toString == 'x' || has(constructor)", false],
    ["missing not in {'a'}", true],
    ["k8s.io/tier contains 't-e'", true],
    ["missing contains ''", false],
    ["k8s.io/tier starts with 'front'", true],
    ["k8s.io/tier ends with 'end'", true],
    ["app ends with 'x'", false],
    ["in == 'x'", true],
    ["in in {'x'}", true],
    ["!has(app) || app == 'web'", true],
    ['has(a) && has(b) || has(app)', true],
    ['has(a) && (has(b) || has(app))', false],
    ['!!has(app)', true],
    ['!(has(app) && has(a))', true],
  ] as const) {
    it(`${JSON.stringify(text)} is ${expected}`, () =>
      assert.equal(matchesSelector(parseSelector(text), labels), expected));
  }

  for (const [text, message] of [
    ['app', 'column 4: "the end" where ==, !=, in, not in, contains, starts with or ends with is due'],
    ['app == web', 'column 8: "web" where a text in quotes is due'],
    ["app == 'web", `column 8: unexpected "'"`],
    ['(has(a)', 'column 8: "the end" where ")" is due'],
    ['has(a) has(b)', 'column 8: "b" where && or || is due'],
    ["app '==' 'web'", 'column 5: "==" where ==, !=, in, not in, contains, starts with or ends with is due'],
    ['a && ', 'column 3: "&&" where ==, !=, in, not in, contains, starts with or ends with is due'],
    ['global()', 'column 1: global() is for namespace selectors'],
    ['a b', 'column 3: "b" where ==, !=, in, not in, contains, starts with or ends with is due'],
    [`${'('.repeat(200)}`, 'column 65: nested too deeply'],
    [`has(${'a'.repeat(1100)})`, 'longer than 1024 characters'],
  ] as const) {
    it(`refuses ${JSON.stringify(text.slice(0, 30))}`, () =>
      assert.throws(() => parseSelector(text), { name: 'RangeError', message }));
  }

  it('knows global() where namespaces are selected', () => {
    assert.equal(parseSelectorOrGlobal(' global() '), 'global');
    assert.throws(() => parseSelectorOrGlobal('global() && has(a)'), RangeError);
  });

  it('reads what it writes, with the same meaning', () => {
    const key = fc.constantFrom('app', 'k8s.io/tier', 'empty', 'missing', 'in');
    const value = fc.constantFrom('web', 'front', 'end', '', "it's");
    const { selector } = fc.letrec<{ selector: Selector }>((tie) => ({
      selector: fc.oneof(
        { maxDepth: 4 },
        fc.constant<Selector>({ is: 'all' }),
        fc.record({ is: fc.constant('has' as const), key }),
        fc.record({
          is: fc.constantFrom('equal' as const, 'contains' as const, 'starts' as const, 'ends' as const),
          key,
          value,
        }),
        fc.record({ is: fc.constant('in' as const), key, values: fc.array(value, { maxLength: 3 }) }),
        fc.record({ is: fc.constant('not' as const), of: tie('selector') }),
        fc.record({
          is: fc.constantFrom('and' as const, 'or' as const),
          of: fc.array(tie('selector'), { minLength: 1, maxLength: 3 }),
        }),
      ),
    }));
    fc.assert(
      fc.property(selector, (one) => {
        const text = formatSelector(one);
        const again = parseSelector(text);
        assert.equal(matchesSelector(again, labels), matchesSelector(one, labels), text);
      }),
      { numRuns: 500 },
    );
  });
});
