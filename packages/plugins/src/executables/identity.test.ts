import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { type ExecutableIdentity, readIdentity, writeIdentity } from './identity.ts';

const script = readFileSync(new URL('../../launcher/launcher.sh', import.meta.url));
/** What a compiler makes of the identity in launcher.c. */
const binary = Buffer.concat([
  Buffer.from('\x7fELF code '),
  Buffer.from('@amphipod/plugins launcher 1\0').subarray(0, 29),
  Buffer.alloc(1312 - 29),
  Buffer.from(' more code'),
]);
const identity: ExecutableIdentity = {
  name: 'host-local',
  version: '1.2.3',
  socket: '/run/x.sock',
  root: '/opt/a b',
};

describe('identity of an executable', () => {
  test('is written and read', () => {
    assert.deepEqual(readIdentity(writeIdentity(binary, identity)), identity);
    assert.deepEqual(readIdentity(writeIdentity(script, identity)), { ...identity, socket: '' });
  });

  test('replaces the one before, and nothing else', () => {
    const other = { name: 'x', version: '0', socket: '', root: '' };
    for (const launcher of [binary, script]) {
      const twice = writeIdentity(writeIdentity(launcher, identity), other);
      assert.deepEqual(twice, writeIdentity(launcher, other));
    }
  });

  test('the script and the C source are what is read here', () => {
    const source = readFileSync(new URL('../../launcher/launcher.c', import.meta.url), 'utf8');
    const [struct = ''] = source.split('} identity');
    const fields = [...struct.matchAll(/^ {2}char (\w+)\[(\d+)\];/gm)].map(([, name, size]) => [name, size]);
    assert.deepEqual(fields, [
      ['magic', '32'],
      ['name', '64'],
      ['version', '64'],
      ['socket', '128'],
      ['root', '1024'],
    ]);
    assert.match(source, /\{"@amphipod\/plugins launcher 1", /);
  });

  test('other files have none', () => {
    for (const text of ['', '#!/bin/sh\nexec bridge\n', '\x7fELF', '@amphipod/plugins launcher 1\0'])
      assert.equal(readIdentity(Buffer.from(text)), undefined);
    assert.throws(() => writeIdentity(Buffer.from('\x7fELF'), identity), /not one of this package/);
  });

  test('texts that do not fit are refused', () => {
    assert.throws(() => writeIdentity(binary, { ...identity, name: 'n'.repeat(64) }), /longer than 63 bytes/);
    assert.throws(
      () => writeIdentity(binary, { ...identity, socket: `/${'s'.repeat(107)}` }),
      /longer than 107 bytes/,
    );
    assert.throws(() => writeIdentity(script, { ...identity, root: "/a'b" }), /a script cannot hold/);
  });
});
