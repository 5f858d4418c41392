import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ImageError } from '../errors.ts';
import { parseChallenges } from './challenge.ts';
import { parseHostsToml } from './hosts-toml.ts';

test('challenges: quoted and plain values, several schemes, odd spacing', () => {
  assert.deepEqual(
    parseChallenges('Bearer realm="https://a/t?x=1,2",service="s \\"q\\"", scope=repository:a:pull'),
    [
      {
        scheme: 'bearer',
        params: { realm: 'https://a/t?x=1,2', service: 's "q"', scope: 'repository:a:pull' },
      },
    ],
  );
  assert.deepEqual(parseChallenges('Negotiate, Basic realm = "x" , Bearer realm=y'), [
    { scheme: 'negotiate', params: {} },
    { scheme: 'basic', params: { realm: 'x' } },
    { scheme: 'bearer', params: { realm: 'y' } },
  ]);
  assert.deepEqual(parseChallenges(''), []);
});

test('no header and no file hangs or crashes a parser', () => {
  fc.assert(fc.property(fc.string({ maxLength: 300 }), (text) => void parseChallenges(text)));
  const toml = fc.oneof(
    fc.string({ maxLength: 200 }),
    fc.stringMatching(
      /^(?:(?:server|host|ca|\[host\."http:\/\/a"\]|capabilities) ?=? ?(?:"[a-z:/]{0,9}"|\["pull"\]|true|1)?\n){0,6}$/,
    ),
  );
  fc.assert(
    fc.property(toml, (text) => {
      try {
        parseHostsToml(text, '/nowhere/hosts.toml');
      } catch (error) {
        assert.ok(error instanceof ImageError, String(error));
      }
    }),
    { numRuns: 1000 },
  );
});
