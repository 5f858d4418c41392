import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { type FakeCri, startFakeCri } from './testing.ts';

let cri: FakeCri;

before(async () => {
  cri = await startFakeCri();
});

after(() => cri.stop());

test('run in the foreground: output, exit code, configuration, and removal of everything', async () => {
  const time = '2026-01-31T12:00:00Z';
  cri.program = {
    log: `${time} stdout P o\n${time} stdout F ut\n${time} stderr F err\n`,
    exitCode: 9,
    startError: '',
  };
  const args = [
    '--rm',
    '--name',
    'a',
    '-e',
    'K=V=W',
    '-p',
    '127.0.0.1:80:8080/udp',
    '--log-dir',
    cri.directory,
    'x:2',
    'sh',
    '-c',
    '-p',
  ];
  assert.deepEqual(await cri.amphipod('run', ...args), { code: 9, out: 'out\n', err: 'err\n' });
  assert.deepEqual(cri.calls, ['stop pod', 'remove pod']);
  assert.deepEqual(cri.containerConfig?.args, ['sh', '-c', '-p']);
  assert.deepEqual(
    cri.containerConfig?.envs.map(({ key, value }) => `${key} ${value}`),
    ['K V=W'],
  );
  assert.deepEqual(cri.podConfig?.portMappings, [
    { protocol: 1, containerPort: 8080, hostPort: 80, hostIp: '127.0.0.1' },
  ]);
  assert.equal(cri.podConfig?.linux?.securityContext?.namespaceOptions?.pid, 1);
  assert.equal(existsSync(cri.podConfig!.logDirectory), false);
});

test('run -d prints the id', async () => {
  cri.program = { log: '', exitCode: 0, startError: '' };
  assert.deepEqual(await cri.amphipod('run', '-d', '--log-dir', cri.directory, 'x:2'), {
    code: 0,
    out: 'new\n',
    err: '',
  });
});

test('run that fails removes what it made; the exit code tells why', async () => {
  const cases: [string, number][] = [
    ['exec: "nope": executable file not found in $PATH', 127],
    ['exec: "/etc/passwd": permission denied', 126],
    ['no cgroup', 125],
  ];
  for (const [startError, code] of cases) {
    cri.program = { log: '', exitCode: 0, startError };
    const result = await cri.amphipod('run', '--log-dir', cri.directory, 'x:2', 'nope');
    assert.deepEqual(result, { code, out: '', err: `amphipod: run: ${startError}\n` });
    assert.deepEqual(cri.calls, ['stop pod', 'remove pod']);
  }
});

test('run refuses a taken name, an absent image with --pull never, and --rm with -d', async () => {
  assert.equal(
    (await cri.amphipod('run', '--name', 'taken', 'x')).err,
    'amphipod: run: the name "taken" is taken: amphipod rm taken\n',
  );
  assert.equal(
    (await cri.amphipod('run', '--pull', 'never', 'absent')).err,
    'amphipod: run: no such image "absent"\n',
  );
  assert.equal(
    (await cri.amphipod('run', 'absent')).err,
    'pulling absent\namphipod: run: pull image "absent": not found\n',
  );
  assert.match(
    (await cri.amphipod('run', '--rm', '-d', 'x')).err,
    /--rm needs somebody to wait for the end: not with -d/,
  );
});
