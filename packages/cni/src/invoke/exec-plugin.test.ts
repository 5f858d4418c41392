import assert from 'node:assert/strict';
import { chmodSync, closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Attachment } from '../attachment.ts';
import type { CniError } from '../errors.ts';
import { PluginLab, rejection } from '../testing.ts';
import { findPlugin } from './find-plugin.ts';

const pod: Attachment = { containerID: 'c1', netns: '/run/netns/x', ifName: 'eth0' };
const one = { plugins: [{ type: 'one' }] };

async function addFailure(lab: PluginLab): Promise<CniError> {
  return await rejection<CniError>(lab.cni().addList(lab.list(one), pod));
}

function isAlive(pid: string): boolean {
  if (!existsSync(`/proc/${pid}/stat`)) return false;
  return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]![0] !== 'Z';
}

describe('what a plugin can end with', () => {
  const onAdd = (script: string) => `[ $CNI_COMMAND = ADD ] || exit 0; ${script}`;
  const endings: [what: string, script: string, message: RegExp, number: number][] = [
    [
      'an error object',
      'echo "{\\"code\\":7,\\"msg\\":\\"no\\",\\"details\\":\\"d\\"}"; exit 1',
      /failed \(add\): no; d$/,
      7,
    ],
    ['an error object without a code', 'echo "{\\"msg\\":\\"no\\"}"; exit 1', /failed \(add\): no$/, 999],
    ['words on stderr', 'echo oh no >&2; exit 3', /failed \(add\): netplugin failed: oh no$/, 999],
    [
      'an object on stdout that is none of an error',
      'echo "{}"; exit 1',
      /netplugin failed but error parsing its diagnostic message "\{\}\\n": it has no "msg"$/,
      999,
    ],
    [
      'words on stdout',
      'echo hm; echo log >&2; exit 1',
      /netplugin failed but error parsing its diagnostic message "hm\\n": .*; log$/,
      999,
    ],
    ['nothing', 'exit 2', /netplugin failed with no error message: exit status 2$/, 999],
    ['a signal', 'kill -9 $$', /netplugin failed with no error message: signal: SIGKILL$/, 999],
    ['success without a result', 'true', /decode result: unexpected end of JSON input$/, 6],
    ['a result that is no JSON', 'echo hm', /decode result: Unexpected token/, 6],
    [
      'a result with what is no address',
      'echo "{\\"ips\\":[{\\"address\\":\\"10.1.2.3\\"}]}"',
      /decode ips\[0\]\.address: got "10\.1\.2\.3", want an address such as "10\.1\.2\.3\/24"$/,
      6,
    ],
    [
      'a result of an unknown version',
      'echo "{\\"cniVersion\\":\\"9.0.0\\"}"',
      /unsupported CNI result version "9\.0\.0"$/,
      1,
    ],
    ['more output than fits', 'head -c 9000000 /dev/zero', /wrote more than 8388608 bytes$/, 5],
  ];
  for (const [what, script, message, number] of endings) {
    test(what, async () => {
      using lab = new PluginLab();
      lab.plugin('one', onAdd(script));
      const error = await addFailure(lab);
      assert.match(error.message, message);
      assert.match(error.message, /^plugin type="one" failed \(add\): /);
      assert.equal(error.number, number);
    });
  }

  test('the result "null" is an empty one', async () => {
    using lab = new PluginLab();
    lab.plugin('one', 'echo null');
    assert.deepEqual(await lab.cni().addList(lab.list(one), pod), {});
  });

  test('its stderr is handed on, also of a success', async () => {
    using lab = new PluginLab();
    lab.plugin('one', 'echo log >&2; echo "{}"');
    const lines: string[] = [];
    const cni = lab.cni({ onPluginStderr: (type, text) => lines.push(`${type}: ${text}`) });
    await cni.addList(lab.list(one), pod);
    assert.deepEqual(lines, ['one: log\n']);
  });
});

describe('files that cannot be executed', () => {
  test('no permission, no interpreter', async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    const path = join(lab.dir, 'bin', 'one');
    chmodSync(path, 0o644);
    assert.equal(
      (await addFailure(lab)).message,
      `plugin type="one" failed (add): netplugin failed with no error message: fork/exec ${path}: permission denied`,
    );
    chmodSync(path, 0o755);
    writeFileSync(path, '#!/no/such/interpreter\n');
    assert.match((await addFailure(lab)).message, /fork\/exec .*: no such file or directory$/);
  });

  test('one that is being written is tried again', async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    const fd = openSync(join(lab.dir, 'bin', 'one'), 'r+');
    const closed = setTimeout(() => closeSync(fd), 300);
    const start = performance.now();
    await lab.cni().addList(lab.list(one), pod);
    clearTimeout(closed);
    assert.ok(performance.now() - start > 900);
  });

  test('the search: first directory that has a file, no directories, no separators', () => {
    using lab = new PluginLab();
    lab.plugin('one');
    const bin = join(lab.dir, 'bin');
    assert.equal(findPlugin('one', ['/no/such/dir', '', lab.dir, bin, '/']).path, join(bin, 'one'));
    assert.throws(() => findPlugin('bin', [lab.dir]), {
      message: `failed to find plugin "bin" in path [${lab.dir}]`,
      code: 'plugin-not-found',
    });
    assert.throws(() => findPlugin('one', []), { message: 'failed to find plugin "one" in path []' });
    for (const type of ['../bin/one', 'a\\b', '', '.', '..', 'a\0b']) {
      assert.throws(() => findPlugin(type, [bin]), { message: `invalid plugin name: ${type}`, number: 7 });
    }
  });
});

describe('time limits', () => {
  test('each verb: killed, named, nothing awaited (CNI-15)', async () => {
    using lab = new PluginLab();
    lab.plugin('one', '[ ! -e "$dir/hang" ] || exec sleep 300; echo "{}"');
    const cni = lab.cni({ timeoutMs: 700 });
    const list = lab.list(one);
    await cni.addList(list, pod);
    writeFileSync(join(lab.dir, 'hang'), '');
    const calls: [verb: string, call: () => Promise<unknown>][] = [
      ['check', () => cni.checkList(list, pod)],
      ['delete', () => cni.delList(list, pod)],
      ['status', () => cni.status(list)],
      ['gc', () => cni.gc(list, { validAttachments: [pod] })],
    ];
    for (const [verb, call] of calls) {
      const error = await rejection<CniError>(call());
      assert.equal(error.message, `plugin type="one" failed (${verb}): no answer within 700 ms, killed`);
      assert.equal(error.code, 'plugin-timeout');
    }
    lab.pluginFile('two', '#!/bin/sh\nexec sleep 300\n');
    for (const call of [
      () => cni.pluginVersions('two'),
      () => cni.validateList(lab.list({ plugins: [{ type: 'two' }] })),
    ]) {
      assert.match(
        (await rejection(call())).message,
        /plugin type="two" failed \(version\): no answer within 700 ms/,
      );
    }
  });

  test('a child outside of the process group that holds stdout open cannot hold the call up (CNI-15)', async () => {
    using lab = new PluginLab();
    lab.plugin('one', 'setsid sleep 20 & echo $! >"$dir/child"; [ $CNI_COMMAND != ADD ] || sleep 300');
    const start = performance.now();
    const error = await rejection<CniError>(lab.cni({ timeoutMs: 700 }).addList(lab.list(one), pod));
    assert.equal(error.code, 'plugin-timeout');
    assert.ok(performance.now() - start < 6000);
    process.kill(Number(readFileSync(join(lab.dir, 'child'), 'utf8')));
  });

  test('a plugin in process that does not heed its signal is not waited for (CNI-15)', async () => {
    using lab = new PluginLab();
    lab.plugin('one');
    const inProcess = {
      resolve: () => ({
        type: 'one',
        versions: ['1.1.0'],
        about: 'hangs',
        call: (command: string) => (command === 'ADD' ? new Promise<never>(() => {}) : Promise.resolve({})),
      }),
    };
    const cni = lab.cni({ timeoutMs: 100, inProcess });
    const error = await rejection<CniError>(cni.addList(lab.list(one), pod));
    assert.equal(error.code, 'plugin-timeout');
  });

  test('while one hangs, other containers and networks are served (CNI-15)', async () => {
    using lab = new PluginLab();
    lab.plugin('slow', '[ $CNI_COMMAND = ADD ] || exit 0; echo $$ >"$dir/pid"; exec sleep 300');
    lab.plugin('one');
    const cni = lab.cni({ timeoutMs: 2000 });
    const hung = rejection<CniError>(
      cni.addList(lab.list({ name: 'slow', plugins: [{ type: 'slow' }] }), pod),
    );
    await lab.until('pid');
    const start = performance.now();
    await cni.addList(lab.list(one), { ...pod, containerID: 'c2' });
    await cni.status(lab.list(one));
    assert.ok(performance.now() - start < 1500);
    assert.equal((await hung).code, 'plugin-timeout');
    assert.equal(isAlive(readFileSync(join(lab.dir, 'pid'), 'utf8').trim()), false);
  });
});

describe('VERSION', () => {
  const versions = (lab: PluginLab) => lab.cni().pluginVersions('old');

  test('old plugins: no list, no such command, dummies for what they look at first', async () => {
    using lab = new PluginLab();
    lab.pluginFile('old', '#!/bin/sh\necho "{\\"cniVersion\\":\\"0.2.0\\"}"');
    assert.deepEqual(await versions(lab), ['0.1.0', '0.2.0']);
    lab.pluginFile(
      'old',
      '#!/bin/sh\n[ "$CNI_NETNS$CNI_IFNAME$CNI_CONTAINERID" ] || exit 9\necho "{\\"code\\":4,\\"msg\\":\\"unknown CNI_COMMAND: VERSION\\"}"; exit 1',
    );
    assert.deepEqual(await versions(lab), ['0.1.0']);
  });

  test('answers that cannot be understood', async () => {
    using lab = new PluginLab();
    for (const [answer, message] of [
      ['{}', /decode version info: missing field cniVersion$/],
      ['{"cniVersion":"1.0.0"}', /decode version info: missing field supportedVersions$/],
      ['no', /decode version info: Unexpected token/],
      ['', /decode version info: unexpected end of JSON input$/],
    ] as const) {
      lab.pluginFile('old', `#!/bin/sh\necho '${answer}'`);
      const error = await rejection<CniError>(versions(lab));
      assert.match(error.message, message);
      assert.equal(error.number, 6);
    }
  });
});
