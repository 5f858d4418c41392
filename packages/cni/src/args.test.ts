import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatArgs, parseArgs } from './args.ts';
import { messageOf } from './testing.ts';

test('CNI_ARGS', () => {
  assert.deepEqual(parseArgs('IP=1.2.3.4;IgnoreUnknown=true;X=y', ['IP']), { IP: '1.2.3.4' });
  assert.deepEqual(parseArgs('', ['IP']), {});
  assert.equal(
    messageOf(() => parseArgs('A=B', ['IP'])),
    'ARGS: unknown args ["A=B"]',
  );
  assert.equal(
    messageOf(() => parseArgs('A', ['IP'])),
    'ARGS: invalid pair "A"',
  );
  assert.match(
    messageOf(() => parseArgs('IgnoreUnknown=yes', ['IP'])),
    /boolean/,
  );
  const key = fc.stringMatching(/^[A-Za-z0-9_]+$/);
  fc.assert(
    fc.property(
      fc.uniqueArray(
        fc.tuple(
          key.filter((name) => name !== 'IgnoreUnknown'),
          key,
        ),
        { selector: ([name]) => name },
      ),
      (pairs) => {
        assert.deepEqual(
          parseArgs(
            formatArgs(pairs),
            pairs.map(([name]) => name),
          ),
          Object.fromEntries(pairs),
        );
      },
    ),
  );
});
