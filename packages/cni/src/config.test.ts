import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { formatArgs, parseArgs } from './args.ts';
import type { CniError } from './errors.ts';
import { parseJson, stringifyJson } from './json.ts';
import { findNetworkConfigList, loadNetworkConfigLists } from './load-network-config-lists.ts';
import { parseNetworkConfig, parseNetworkConfigList } from './parse-network-config.ts';
import { compareVersions, selectVersion } from './versions.ts';

const bridge = { type: 'bridge' };
const list = (more: object) =>
  JSON.stringify({ cniVersion: '1.0.0', name: 'net', plugins: [bridge], ...more });

function messageOf(parse: () => unknown): string {
  try {
    parse();
  } catch (error) {
    assert.equal((error as Error).name, 'CniError');
    return (error as CniError).message;
  }
  throw new Error('it was accepted');
}

describe('lists', () => {
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
});

describe('the directory', () => {
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
  const inlinedCases: [
    what: string,
    more: object,
    files: Record<string, string>,
    types: string[] | RegExp,
  ][] = [
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

test('versions', () => {
  assert.ok(compareVersions('0.10.0', '0.9.1') > 0);
  assert.equal(compareVersions('', '0.1.0'), 0);
  assert.equal(selectVersion(['9.0.0']), undefined);
});
