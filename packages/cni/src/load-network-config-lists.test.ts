import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { findNetworkConfigList, loadNetworkConfigLists } from './load-network-config-lists.ts';
import { parseNetworkConfigList } from './parse-network-config.ts';
import { messageOf } from './testing.ts';

const bridge = { type: 'bridge' };
const list = (more: object) =>
  JSON.stringify({ cniVersion: '1.0.0', name: 'net', plugins: [bridge], ...more });

const withDir = (files: Record<string, string>, work: (dir: string) => void) => {
  const dir = mkdtempSync(join(tmpdir(), 'cni-conf-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(dir, name, '..'), { recursive: true });
      writeFileSync(join(dir, name), text);
    }
    work(dir);
  } finally {
    rmSync(dir, { recursive: true });
  }
};

test('by file name; broken files are told, others ignored', () => {
  withDir(
    {
      '20-b.conflist': list({ name: 'b' }),
      '10-a.conf': JSON.stringify({ cniVersion: '1.0.0', name: 'a', type: 'x' }),
      '15-bad.conflist': '{',
      '30-c.json': JSON.stringify({ name: 'c', type: 'x' }),
      'README.txt': 'no',
      'nested/05-n.conflist': list({ name: 'n' }),
    },
    (dir) => {
      const { lists, errors } = loadNetworkConfigLists(dir);
      assert.deepEqual(
        lists.map(({ name }) => name),
        ['a', 'b', 'c'],
      );
      assert.deepEqual(
        errors.map(({ file }) => file),
        [join(dir, '15-bad.conflist')],
      );
      assert.equal(findNetworkConfigList(dir, 'b').file, join(dir, '20-b.conflist'));
      assert.match(
        messageOf(() => findNetworkConfigList(dir, 'z')),
        /^no net configuration with name "z" in /,
      );
    },
  );
  assert.deepEqual(loadNetworkConfigLists('/no/such/dir'), { lists: [], errors: [] });
  assert.equal(
    messageOf(() => findNetworkConfigList('/no/such/dir', 'z')),
    'no net configurations found in /no/such/dir',
  );
});

test('a .conflist goes before single configurations of the same name, .conf and .json alike', () => {
  const files = {
    '10-a.json': JSON.stringify({ name: 'n', type: 'from-json' }),
    '20-b.conf': JSON.stringify({ name: 'n', type: 'from-conf' }),
    '30-c.conflist': list({ name: 'n', plugins: [{ type: 'from-list' }] }),
  };
  const found = (dir: string) => findNetworkConfigList(dir, 'n').plugins[0]!.type;
  withDir(files, (dir) => {
    assert.equal(found(dir), 'from-list');
    rmSync(join(dir, '30-c.conflist'));
    assert.equal(found(dir), 'from-json');
    rmSync(join(dir, '10-a.json'));
    assert.equal(found(dir), 'from-conf');
    writeFileSync(join(dir, '05-bad.conflist'), '{');
    assert.match(
      messageOf(() => findNetworkConfigList(dir, 'z')),
      /^no net configuration with name "z" in .*; parse network config ".*05-bad\.conflist": /,
    );
  });
});

// The eight cases of libcni.
const folder = { 'net/10.conf': '{"type":"loaded"}' };
const noPlugins = /key "plugins": got nothing, want a list/;
const inlinedCases: [what: string, more: object, files: Record<string, string>, types: string[] | RegExp][] =
  [
    ['parsed when true', { loadOnlyInlinedPlugins: true }, folder, ['bridge']],
    ['false when it is not there', {}, folder, ['bridge', 'loaded']],
    ['an error when it is neither', { loadOnlyInlinedPlugins: 'x' }, folder, /got "x", want true or false/],
    [
      'true without plugins: an error',
      { loadOnlyInlinedPlugins: true, plugins: undefined },
      folder,
      noPlugins,
    ],
    ['false without plugins: those of the folder', { plugins: undefined }, folder, ['loaded']],
    ['false, no plugins, no folder: an error', { plugins: undefined }, {}, noPlugins],
    ['false, plugins, no folder', {}, {}, ['bridge']],
    ['false, plugins, a folder without any', {}, { 'net/README': '' }, ['bridge']],
    ['"true" as a string', { loadOnlyInlinedPlugins: 'TRUE' }, folder, ['bridge']],
    ['"false" as a string', { loadOnlyInlinedPlugins: 'false' }, folder, ['bridge', 'loaded']],
  ];
for (const [what, more, files, expected] of inlinedCases) {
  test(`loadOnlyInlinedPlugins: ${what}`, () => {
    withDir({ ...files, 'a.conflist': list(more) }, (dir) => {
      const { lists, errors } = loadNetworkConfigLists(dir);
      if (expected instanceof RegExp) assert.match(errors[0]!.message, expected);
      else {
        assert.deepEqual(
          lists[0]!.plugins.map(({ type }) => type),
          expected,
        );
      }
    });
  });
}

test("plugins of the network's own folder", () => {
  const files = {
    'a.conflist': list({ plugins: [bridge] }),
    'net/20.conf': '{"type":"two"}',
    'net/10.conf': '{"type":"one"}',
    'net/30.json': '{"type":"no"}',
  };
  const types = (dir: string) => loadNetworkConfigLists(dir).lists[0]!.plugins.map(({ type }) => type);
  withDir(files, (dir) => {
    assert.deepEqual(types(dir), ['bridge', 'one', 'two']);
    const { bytes } = loadNetworkConfigLists(dir).lists[0]!;
    const cached = parseNetworkConfigList(Buffer.from(bytes).toString());
    assert.deepEqual(
      cached.plugins.map(({ type }) => type),
      ['bridge', 'one', 'two'],
    );
  });
  withDir({ ...files, 'a.conflist': list({ loadOnlyInlinedPlugins: true }) }, (dir) =>
    assert.deepEqual(types(dir), ['bridge']),
  );
  withDir({ ...files, 'a.conflist': list({ plugins: undefined }) }, (dir) =>
    assert.deepEqual(types(dir), ['one', 'two']),
  );
  withDir({ ...files, 'net/20.conf': '{}' }, (dir) => {
    assert.match(loadNetworkConfigLists(dir).errors[0]!.message, /net\/20\.conf": key "type": got nothing/);
  });
});
