import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { pluginBinDir } from '@amphipod/plugins';
import { allSubjects, type Subject } from './lib/subjects.ts';
import { World } from './lib/world.ts';

interface Answer {
  status: number | null;
  stdout: string;
  stderr: string;
}

const conf = {
  cniVersion: '1.0.0',
  name: 'testnet',
  type: 'host-local',
  ipam: { type: 'host-local', subnet: '10.99.0.0/24', dataDir: '/nonexistent' },
};
const complete = {
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/run/netns/x',
  CNI_IFNAME: 'eth0',
  CNI_PATH: '/opt/cni/bin',
};

/** Runs a plugin's file as a runtime would. */
function execute(
  file: string,
  variables: Record<string, string>,
  stdin: string,
  { PATH } = process.env,
): Answer {
  const env = { PATH, ...variables };
  const { status, stdout, stderr } = spawnSync(file, [], { env, input: stdin, encoding: 'utf8' });
  return { status, stdout, stderr };
}

function run(subject: Subject, variables: Record<string, string>, config: unknown = conf): Answer {
  return execute(
    join(subject.pluginDirs[0]!, 'host-local'),
    variables,
    typeof config === 'string' ? config : JSON.stringify(config),
    subject.env,
  );
}

const without = (...names: (keyof typeof complete)[]): Record<string, string> =>
  Object.fromEntries(
    Object.entries(complete).filter(([name]) => !names.includes(name as keyof typeof complete)),
  );

interface Case {
  what: string;
  variables: Record<string, string>;
  config?: unknown;
  code: number;
  msg: RegExp;
  details?: RegExp;
  /** For what the reference's version 1.1.1 does not know. */
  oursOnly?: boolean;
}

const cases: Case[] = [
  {
    what: 'ADD without a container',
    variables: { CNI_COMMAND: 'ADD', ...without('CNI_CONTAINERID') },
    code: 4,
    msg: /^required env variables \[CNI_CONTAINERID\] missing$/,
  },
  {
    what: 'ADD without anything',
    variables: { CNI_COMMAND: 'ADD' },
    code: 4,
    msg: /^required env variables \[CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH\] missing$/,
  },
  {
    what: 'DEL needs no namespace',
    variables: { CNI_COMMAND: 'DEL' },
    code: 4,
    msg: /^required env variables \[CNI_CONTAINERID,CNI_IFNAME,CNI_PATH\] missing$/,
  },
  {
    what: 'CHECK without a namespace',
    variables: { CNI_COMMAND: 'CHECK', ...without('CNI_NETNS') },
    code: 4,
    msg: /^required env variables \[CNI_NETNS\] missing$/,
  },
  {
    what: 'a bad container id',
    variables: { CNI_COMMAND: 'ADD', ...complete, CNI_CONTAINERID: 'a b' },
    code: 4,
    msg: /^invalid characters in containerID$/,
  },
  {
    what: 'a long interface name',
    variables: { CNI_COMMAND: 'ADD', ...complete, CNI_IFNAME: 'abcdefghijklmnop' },
    code: 4,
    msg: /^interface name is too long$/,
    details: /less than 16 characters/,
  },
  {
    what: 'an interface name with a slash',
    variables: { CNI_COMMAND: 'ADD', ...complete, CNI_IFNAME: 'a/b' },
    code: 4,
    msg: /^interface name contains/,
  },
  {
    what: 'an unknown command',
    variables: { CNI_COMMAND: 'BOGUS', ...complete },
    code: 4,
    msg: /^unknown CNI_COMMAND: BOGUS$/,
  },
  {
    what: 'no JSON',
    variables: { CNI_COMMAND: 'ADD', ...complete },
    config: '',
    code: 6,
    msg: /^error unmarshall network config: unexpected end of JSON input$/,
  },
  {
    what: 'broken JSON',
    variables: { CNI_COMMAND: 'ADD', ...complete },
    config: '{"name": ',
    code: 6,
    msg: /^error unmarshall network config: /,
  },
  {
    what: 'no network name',
    variables: { CNI_COMMAND: 'ADD', ...complete },
    config: { ...conf, name: undefined },
    code: 7,
    msg: /^missing network name$/,
  },
  {
    what: 'a bad network name',
    variables: { CNI_COMMAND: 'ADD', ...complete },
    config: { ...conf, name: 'a/b' },
    code: 7,
    msg: /^invalid characters found in network name$/,
  },
  {
    what: 'a version that is unknown',
    variables: { CNI_COMMAND: 'ADD', ...complete },
    config: { ...conf, cniVersion: '9.9.9' },
    code: 1,
    msg: /^incompatible CNI versions$/,
    details: /^config is "9\.9\.9", plugin supports \["0\.1\.0" "0\.2\.0"/,
  },
  {
    what: 'CHECK of an old version',
    variables: { CNI_COMMAND: 'CHECK', ...complete },
    config: { ...conf, cniVersion: '0.3.1' },
    code: 1,
    msg: /^config version does not allow CHECK$/,
  },
  {
    what: 'GC of an old version',
    variables: { CNI_COMMAND: 'GC', ...complete },
    code: 1,
    msg: /^config version does not allow GC$/,
    oursOnly: true,
  },
  {
    what: 'STATUS of an old version',
    variables: { CNI_COMMAND: 'STATUS', ...complete },
    code: 1,
    msg: /^config version does not allow STATUS$/,
    oursOnly: true,
  },
];

for (const subject of allSubjects.filter(({ isExecutable }) => isExecutable)) {
  describe(`protocol, ${subject.name}`, () => {
    for (const { what, variables, config, code, msg, details, oursOnly } of cases) {
      test(what, {
        skip: oursOnly && !subject.isOurs ? 'the reference (1.1.1) has no such command' : false,
      }, () => {
        const { status, stdout, stderr } = run(subject, variables, config);
        const error = JSON.parse(stdout) as { code: number; msg: string; details?: string };
        assert.equal(error.code, code, stdout);
        assert.match(error.msg, msg);
        if (details !== undefined) assert.match(error.details ?? '', details);
        assert.equal(status, 1);
        assert.equal(stderr, '');
      });
    }

    test('VERSION', () => {
      const { status, stdout } = run(subject, { CNI_COMMAND: 'VERSION' }, '');
      const { cniVersion, supportedVersions } = JSON.parse(stdout) as {
        cniVersion: string;
        supportedVersions: string[];
      };
      assert.equal(status, 0);
      assert.ok(supportedVersions.includes(cniVersion));
      assert.deepEqual(supportedVersions.slice(0, 6), ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0']);
    });

    test('started by hand it says what it is', () => {
      const { status, stdout, stderr } = run(subject, {}, '');
      assert.deepEqual([status, stdout], [0, '']);
      assert.match(stderr, /CNI host-local plugin.*\nCNI protocol versions supported: 0\.1\.0, 0\.2\.0, /);
    });

    test('results of every version', () => {
      using world = new World();
      const ipam = { ...conf.ipam, dataDir: world.dataDir };
      for (const cniVersion of ['0.2.0', '0.3.1', '0.4.0', '1.0.0']) {
        const variables = { CNI_COMMAND: 'ADD', ...complete, CNI_CONTAINERID: `c${cniVersion}` };
        const { stdout } = run(subject, variables, { ...conf, cniVersion, ipam });
        const { dns: _dns, ...result } = JSON.parse(stdout) as Record<string, unknown>;
        const address = `10.99.0.${world.reservations('testnet').length + 1}/24`;
        const gateway = '10.99.0.1';
        assert.deepEqual(
          result,
          cniVersion === '0.2.0'
            ? { cniVersion, ip4: { ip: address, gateway } }
            : { cniVersion, ips: [{ ...(cniVersion !== '1.0.0' && { version: '4' }), address, gateway }] },
        );
      }
    });
  });
}

test('ours through symbolic links in another directory', () => {
  using world = new World();
  const bin = world.makeDir('bin');
  symlinkSync(join(pluginBinDir, 'host-local'), join(bin, 'host-local'));
  symlinkSync('host-local', join(bin, 'again'));
  const { stdout } = execute(join(bin, 'again'), { CNI_COMMAND: 'VERSION' }, '');
  assert.equal((JSON.parse(stdout) as { cniVersion: string }).cniVersion, '1.1.0');
});
