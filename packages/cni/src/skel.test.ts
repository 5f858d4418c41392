import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CniError } from './errors.ts';
import {
  complete,
  conf,
  errorOf,
  probe,
  result,
  run,
  type Variables,
  type Verb,
  verbs,
} from './testing-probe.ts';
import { specVersions } from './versions.ts';

describe('variables', () => {
  const needed: Record<Verb, string[]> = {
    ADD: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'],
    DEL: ['CNI_CONTAINERID', 'CNI_IFNAME', 'CNI_PATH'],
    CHECK: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'],
    GC: ['CNI_PATH'],
    STATUS: ['CNI_PATH'],
  };
  test('each verb misses what it needs, one at a time and all at once', async () => {
    for (const verb of verbs) {
      const missing = (names: string[]) => [4, `required env variables [${names.join(',')}] missing`];
      for (const name of Object.keys(complete)) {
        const plugin = probe();
        const env = { CNI_COMMAND: verb, ...complete, [name]: '' };
        if (needed[verb].includes(name)) assert.deepEqual(await errorOf(plugin, env), missing([name]));
        else assert.equal((await run(plugin, env)).status, 0, `${verb} without ${name}`);
      }
      assert.deepEqual(await errorOf(probe(), { CNI_COMMAND: verb }), missing(needed[verb]));
    }
  });

  const bad: [change: Variables, error: unknown[]][] = [
    [{ CNI_CONTAINERID: 'a b' }, [4, 'invalid characters in containerID', 'a b']],
    [{ CNI_CONTAINERID: '.a' }, [4, 'invalid characters in containerID', '.a']],
    [
      { CNI_IFNAME: 'sixteen-letters!' },
      [4, 'interface name is too long', 'interface name should be less than 16 characters'],
    ],
    [{ CNI_IFNAME: '.' }, [4, 'interface name is . or ..']],
    [{ CNI_IFNAME: '..' }, [4, 'interface name is . or ..']],
    [{ CNI_IFNAME: 'a/b' }, [4, 'interface name contains / or : or whitespace characters']],
    [{ CNI_IFNAME: 'a:b' }, [4, 'interface name contains / or : or whitespace characters']],
    [{ CNI_IFNAME: 'a\tb' }, [4, 'interface name contains / or : or whitespace characters']],
  ];
  test('wrong ones', async () => {
    for (const [change, error] of bad) {
      for (const verb of ['ADD', 'DEL', 'CHECK']) {
        assert.deepEqual(await errorOf(probe(), { CNI_COMMAND: verb, ...complete, ...change }), error);
      }
      for (const verb of ['GC', 'STATUS']) {
        const { status } = await run(probe(), { CNI_COMMAND: verb, ...complete, ...change });
        assert.equal(status, 0);
      }
    }
  });

  test('the command: unknown after stdin was read, none with and without a word about the plugin', async () => {
    const bogus = { CNI_COMMAND: 'BOGUS', ...complete };
    assert.deepEqual(await errorOf(probe(), bogus), [4, 'unknown CNI_COMMAND: BOGUS']);
    assert.deepEqual(await errorOf(probe(), bogus, { ...conf, name: '' }), [7, 'missing network name']);
    const { status, stdout, stderr } = await run(probe(), complete);
    assert.deepEqual([status, stdout], [0, '']);
    assert.equal(stderr, `CNI probe plugin\nCNI protocol versions supported: ${specVersions.join(', ')}\n`);
    assert.deepEqual(await errorOf({ ...probe(), about: '' }, complete), [
      4,
      'required env variables [CNI_COMMAND] missing',
    ]);
  });

  test('VERSION reads no stdin and says what the plugin speaks', async () => {
    const old = probe(undefined, ['0.3.1', '0.4.0']);
    const { status, stdout } = await run(old, { CNI_COMMAND: 'VERSION' }, new Error('it was read'));
    assert.equal(status, 0);
    assert.deepEqual(JSON.parse(stdout), { cniVersion: '0.4.0', supportedVersions: ['0.3.1', '0.4.0'] });
  });
});

describe('configuration', () => {
  const add = { CNI_COMMAND: 'ADD', ...complete };
  const cases: [what: string, stdin: unknown, code: number, msg: RegExp][] = [
    ['stdin cannot be read', new Error('EIO'), 5, /^error reading from stdin: EIO$/],
    ['nothing', '', 6, /^error unmarshall network config: unexpected end of JSON input$/],
    ['broken', '{"name": ', 6, /^error unmarshall network config: /],
    ['no object', '[]', 6, /^error unmarshall network config: got \[\], want an object$/],
    ['null', 'null', 7, /^missing network name$/],
    ['no name', { ...conf, name: undefined }, 7, /^missing network name$/],
    ['a name that is null', { ...conf, name: null }, 7, /^missing network name$/],
    ['a name that is none', { ...conf, name: 5 }, 6, /^error unmarshall network config: key "name": got 5/],
    ['a wrong name', { ...conf, name: 'a/b' }, 7, /^invalid characters found in network name$/],
    ['a version that is none', { ...conf, cniVersion: 5 }, 6, /key "cniVersion": got 5, want a string$/],
    ['an unknown version', { ...conf, cniVersion: '9.9.9' }, 1, /^incompatible CNI versions$/],
    [
      'a previous result that is none',
      { ...conf, prevResult: { ips: 5 } },
      6,
      /^could not parse prevResult: decode result\.ips: got 5, want an array$/,
    ],
    [
      'a previous result of an unknown version',
      { ...conf, prevResult: { cniVersion: '9.0.0' } },
      6,
      /^could not parse prevResult: unsupported CNI result version "9\.0\.0"$/,
    ],
  ];
  for (const [what, stdin, code, msg] of cases) {
    test(what, async () => {
      const plugin = probe();
      const [gotCode, gotMsg] = await errorOf(plugin, add, stdin);
      assert.equal(gotCode, code);
      assert.match(gotMsg as string, msg);
      assert.equal(plugin.calls.length, 0);
    });
  }

  test('no version means 0.1.0, which a plugin may not speak', async () => {
    const plugin = probe();
    for (const cniVersion of [undefined, null, '']) {
      const { stdout } = await run(plugin, add, { ...conf, cniVersion });
      assert.deepEqual(JSON.parse(stdout), { cniVersion: '0.1.0', ip4: { ip: '10.1.2.3/24' } });
    }
    assert.deepEqual(await errorOf(probe(undefined, ['0.4.0', '1.0.0']), add, { ...conf, cniVersion: '' }), [
      1,
      'incompatible CNI versions',
      'config is "0.1.0", plugin supports ["0.4.0" "1.0.0"]',
    ]);
  });

  test('verbs have a first version', async () => {
    for (const [verb, first, before] of [
      ['CHECK', '0.4.0', '0.3.1'],
      ['GC', '1.1.0', '1.0.0'],
      ['STATUS', '1.1.0', '1.0.0'],
    ] as const) {
      const env = { CNI_COMMAND: verb, ...complete };
      assert.equal((await run(probe(), env, { ...conf, cniVersion: first })).status, 0);
      assert.deepEqual(await errorOf(probe(), env, { ...conf, cniVersion: before }), [
        1,
        `config version does not allow ${verb}`,
      ]);
      assert.deepEqual(await errorOf(probe(undefined, [before]), env, { ...conf, cniVersion: first }), [
        1,
        `plugin version does not allow ${verb}`,
      ]);
    }
  });

  test('keys that nobody knows, numbers and a key named __proto__ reach the plugin', async () => {
    const plugin = probe();
    const text = '{"cniVersion":"1.1.0","name":"net","type":"t","n":1e3,"__proto__":{"mtu":5},"x":{"y":[1]}}';
    assert.equal((await run(plugin, add, text)).status, 0);
    const { config } = plugin.calls[0]!.request;
    assert.equal(JSON.stringify(config.n), '1e3');
    assert.deepEqual(config.x, { y: [1] });
    assert.equal((config as { mtu?: number }).mtu, undefined);
    assert.deepEqual(Object.getOwnPropertyDescriptor(config, '__proto__')?.value, { mtu: 5 });
  });
});

describe('answers', () => {
  test('ADD prints the result in the version of the configuration, the other verbs nothing', async () => {
    for (const verb of verbs) {
      const { status, stdout, stderr } = await run(probe(), { CNI_COMMAND: verb, ...complete });
      assert.deepEqual([status, stderr], [0, '']);
      if (verb === 'ADD') assert.equal(stdout, JSON.stringify({ cniVersion: '1.1.0', ...result }, null, 4));
      else assert.equal(stdout, '');
    }
  });

  test('errors with their number, anything else with 999', async () => {
    const add = { CNI_COMMAND: 'ADD', ...complete };
    for (const [thrown, code] of [
      [new CniError('try-again-later', 'no', { details: 'd' }), 11],
      [new CniError(123, 'no', { details: 'd' }), 123],
    ] as const) {
      const plugin = probe(() => Promise.reject(thrown));
      const { stdout } = await run(plugin, add);
      assert.equal(stdout, JSON.stringify({ cniVersion: '1.1.0', code, msg: 'no', details: 'd' }, null, 4));
    }
    assert.deepEqual(
      await errorOf(
        probe(() => Promise.reject(new Error('oh'))),
        add,
      ),
      [999, 'oh'],
    );
  });

  test('a result that the version has no form for: DEL, then the error', async () => {
    const plugin = probe(async () => ({ interfaces: [{ name: 'eth0' }] }));
    const env = { CNI_COMMAND: 'ADD', ...complete };
    assert.deepEqual(await errorOf(plugin, env, { ...conf, cniVersion: '0.2.0' }), [
      6,
      'cannot convert: no valid IP addresses',
    ]);
    assert.deepEqual(
      plugin.calls.map(({ command }) => command),
      ['ADD', 'DEL'],
    );
  });

  test('… and a DEL that fails does not hide it', async () => {
    const plugin = probe(async (command) => {
      if (command === 'DEL') throw new Error('busy');
      return { interfaces: [{ name: 'eth0' }] };
    });
    const env = { CNI_COMMAND: 'ADD', ...complete };
    assert.deepEqual(await errorOf(plugin, env, { ...conf, cniVersion: '0.2.0' }), [
      6,
      'cannot convert: no valid IP addresses',
      'not undone: busy',
    ]);
  });

  test("the plugin's own network namespace: ADD does nothing, DEL what is outside of it; CNI_NETNS_OVERRIDE", async () => {
    const own = { ...complete, CNI_NETNS: '/proc/self/ns/net' };
    const refusal = [8, "plugin's netns and netns from CNI_NETNS should not be the same"];
    const plugin = probe();
    assert.deepEqual(await errorOf(plugin, { CNI_COMMAND: 'ADD', ...own }), refusal);
    assert.equal(plugin.calls.length, 0);
    assert.deepEqual(await errorOf(plugin, { CNI_COMMAND: 'DEL', ...own }), refusal);
    assert.deepEqual(
      plugin.calls.map(({ command, request }) => [command, request.netns]),
      [['DEL', '']],
    );
    for (const CNI_NETNS_OVERRIDE of ['1', 'true', 'TRUE']) {
      const { status } = await run(plugin, { CNI_COMMAND: 'ADD', ...own, CNI_NETNS_OVERRIDE });
      assert.equal(status, 0);
    }
  });
});

describe('GC', () => {
  const gc = { CNI_COMMAND: 'GC', CNI_PATH: '/no/such/bin' };
  const validOf = async (more: object) => {
    const plugin = probe();
    assert.equal((await run(plugin, gc, { ...conf, ...more })).status, 0);
    return plugin.calls[0]!.request.validAttachments;
  };
  const list = [{ containerID: 'c', ifname: 'eth0' }];

  test('attachments that are to stay, under both names; none named', async () => {
    const decoded = [{ containerID: 'c', ifName: 'eth0' }];
    assert.deepEqual(await validOf({ 'cni.dev/valid-attachments': list }), decoded);
    assert.deepEqual(await validOf({ 'cni.dev/attachments': list }), decoded);
    assert.deepEqual(await validOf({ 'cni.dev/valid-attachments': [] }), []);
    assert.equal(await validOf({}), undefined);
  });

  test('a list that cannot be read does not make everything stale', async () => {
    for (const value of [{}, 5, 'x', [5], [{ containerID: 'c' }], [{ containerID: 5, ifname: 'eth0' }]]) {
      const plugin = probe();
      const [code] = await errorOf(plugin, gc, { ...conf, 'cni.dev/valid-attachments': value });
      assert.deepEqual([code, plugin.calls.length], [6, 0]);
    }
  });
});
