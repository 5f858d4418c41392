import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseNetworkConfig, parseNetworkConfigList } from './parse-network-config.ts';
import { messageOf } from './testing.ts';

const bridge = { type: 'bridge' };
const list = (more: object) =>
  JSON.stringify({ cniVersion: '1.0.0', name: 'net', plugins: [bridge], ...more });

test('all keys', () => {
  const parsed = parseNetworkConfigList(
    list({ disableCheck: true, disableGC: 'true', plugins: [{ ...bridge, x: 1 }] }),
    { file: '/f' },
  );
  assert.deepEqual(
    { ...parsed, bytes: '' },
    {
      name: 'net',
      cniVersion: '1.0.0',
      disableCheck: true,
      disableGC: true,
      loadOnlyInlinedPlugins: false,
      folderPlugins: [],
      plugins: [{ type: 'bridge', x: 1 }],
      file: '/f',
      bytes: '',
    },
  );
});

const bad: [object, string][] = [
  [{ name: undefined }, 'key "name": got nothing, want the name of the network'],
  [{ name: 'a/b' }, 'invalid characters found in network name; a/b'],
  [{ plugins: undefined }, 'key "plugins": got nothing, want a list with at least one plugin'],
  [{ plugins: [] }, 'key "plugins": got [], want a list with at least one plugin'],
  [{ plugins: {} }, 'key "plugins": got {}, want a list of plugins'],
  [{ plugins: [{}] }, 'key "plugins[0].type": got nothing, want the file name of a plugin'],
  [
    { plugins: [bridge, { type: 'a/b' }] },
    'key "plugins[1].type": got "a/b", want a file name without / and \\',
  ],
  [{ plugins: [5] }, 'key "plugins[0]": got 5, want an object with a "type"'],
  [{ disableCheck: 'maybe' }, 'key "disableCheck": got "maybe", want true or false'],
  [{ cniVersion: 1 }, 'key "cniVersion": got 1, want a version such as "1.0.0"'],
  [{ cniVersions: ['1.0.0', 'x'] }, 'key "cniVersions[1]": got "x", want a version such as "1.0.0"'],
  [
    { loadOnlyInlinedPlugins: true, plugins: undefined },
    'key "plugins": got nothing, want a list, as loadOnlyInlinedPlugins is true',
  ],
  [
    { plugins: [{ ...bridge, capabilities: [] }] },
    'key "plugins[0].capabilities": got [], want an object of booleans',
  ],
];
for (const [change, message] of bad) {
  test(`refuses ${message}`, () => {
    assert.equal(
      messageOf(() => parseNetworkConfigList(list(change), { file: '/etc/x' })),
      `parse network config "/etc/x": ${message}`,
    );
  });
}

test('text that is no JSON: the file and the place', () => {
  const message = (text: string) => messageOf(() => parseNetworkConfigList(text, { file: '/etc/x' }));
  assert.equal(
    message('{\n  "name": net\n}'),
    `parse network config "/etc/x": Unexpected token 'e', "{ "name": net }" is not valid JSON`,
  );
  assert.match(
    message('{\n  "name": "net"\n "x": 1}'),
    /^parse network config "\/etc\/x": .*line 3 column 2/,
  );
  assert.match(message(''), /^parse network config "\/etc\/x": Unexpected end of JSON input/);
  assert.equal(message('[]'), 'parse network config "/etc/x": got [], want an object');
});

test('the highest version that is not too new', () => {
  const version = (more: object) => parseNetworkConfigList(list(more)).cniVersion;
  assert.equal(version({ cniVersions: ['0.3.1', '1.1.0', '0.4.0'] }), '1.1.0');
  assert.equal(version({ cniVersions: ['0.3.1', '7.0.0'], cniVersion: '0.4.0' }), '0.4.0');
  assert.equal(version({ cniVersions: [], cniVersion: '0.4.0' }), '0.4.0');
  assert.equal(version({ cniVersion: undefined }), '0.1.0');
  assert.equal(version({ cniVersion: '9.9.9' }), '9.9.9');
});

test('disableCheck and disableGC: booleans and their names', () => {
  for (const key of ['disableCheck', 'disableGC'] as const) {
    for (const [value, expected] of [
      [true, true],
      [false, false],
      ['true', true],
      ['True', true],
      ['false', false],
      ['FALSE', false],
      [null, false],
    ] as const) {
      assert.equal(parseNetworkConfigList(list({ [key]: value }))[key], expected);
    }
    assert.match(
      messageOf(() => parseNetworkConfigList(list({ [key]: 'yes' }))),
      new RegExp(`key "${key}": got "yes", want true or false`),
    );
    assert.match(
      messageOf(() => parseNetworkConfigList(list({ [key]: 1 }))),
      new RegExp(`key "${key}": got 1, want true or false`),
    );
  }
});

test('names: letters and digits first, nothing that a path could misread', () => {
  for (const name of ['a', '0', 'a.b_c-D']) assert.equal(parseNetworkConfigList(list({ name })).name, name);
  for (const name of ['.a', '-a', '_a', 'a b', 'a/b', '..', 'a\n', 'ä', 'a\0']) {
    assert.match(
      messageOf(() => parseNetworkConfigList(list({ name }))),
      /invalid characters found in network name/,
    );
  }
});

test('a single configuration becomes a list of one', () => {
  const parsed = parseNetworkConfig(
    '{"cniVersion":"1.0.0","name":"n","type":"bridge","id":12345678901234567890}',
  );
  assert.equal(parsed.plugins.length, 1);
  assert.match(Buffer.from(parsed.bytes).toString(), /"plugins":\[\{.*"id":12345678901234567890/);
  assert.match(
    messageOf(() => parseNetworkConfig(list({}))),
    /key "plugins": .* a list belongs in a file named \*\.conflist/,
  );
});

test('whatever the text, a list or a CniError', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      try {
        parseNetworkConfigList(text);
      } catch (error) {
        assert.equal((error as Error).name, 'CniError');
      }
    }),
  );
});
