import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type FakeCri, startFakeCri, webId } from './testing.ts';

let cri: FakeCri;

before(async () => {
  cri = await startFakeCri();
});

after(() => cri.stop());

test('help and version need no server', async () => {
  for (const args of [['--help'], ['-h'], ['ps', '--help'], ['run', '-h'], ['up', '--help']]) {
    const { code, out, err } = await cri.amphipod('--socket', '/nonexistent', ...args);
    assert.deepEqual([code, err], [0, ''], args.join(' '));
    assert.match(out, /^Usage: amphipod/);
  }
  assert.match((await cri.amphipod('--version')).out, /^amphipod \d+\.\d+\.\d+/);
});

test('mistakes in the command line say what is wrong and where help is', async () => {
  const cases: [string[], string][] = [
    [['sp'], 'amphipod: unknown command "sp"; see amphipod --help\n'],
    [['ps', '--bad'], "amphipod: ps: unknown option '--bad'; see amphipod ps --help\n"],
    [['ps', 'x'], 'amphipod: ps: unexpected argument "x"; see amphipod ps --help\n'],
    [
      ['ps', '-o', 'xml'],
      'amphipod: ps: unknown output format "xml": expected table or wide or json; see amphipod ps --help\n',
    ],
    [
      ['exec', 'web'],
      'amphipod: exec: arguments missing: expected CONTAINER COMMAND [ARG...]; see amphipod exec --help\n',
    ],
    [
      ['run', '-p', '80', 'x'],
      'amphipod: run: port "80": expected HOST:CONTAINER[/tcp|udp|sctp] or HOSTIP:HOST:CONTAINER; see amphipod run --help\n',
    ],
    [
      ['stop', '-t', 'soon', 'web'],
      'amphipod: stop: "soon" is not a number of seconds; see amphipod stop --help\n',
    ],
  ];
  for (const [args, message] of cases) {
    assert.deepEqual(await cri.amphipod(...args), { code: 125, out: '', err: message });
  }
});

test('a server that is not there', async () => {
  const { code, err } = await cri.amphipod('--socket', '/nonexistent.sock', 'ps');
  assert.equal(code, 125);
  assert.equal(
    err,
    'amphipod: ps: cannot reach the runtime at /nonexistent.sock: is "amphipod up" running?\n',
  );
});

test('ps shows running containers, -a all, -o wide addresses and exit codes', async () => {
  const { out } = await cri.amphipod('ps');
  assert.match(out, /^CONTAINER ID +NAME +IMAGE/);
  assert.match(out, /\ncafe00000000 +web +localhost\/web:1 +- +running +\d+d +front +8080:80\/tcp\n$/);
  assert.match((await cri.amphipod('ps', '-a', '-o', 'wide')).out, /job .* exited \(3\) /);
  assert.match((await cri.amphipod('ps', '-o', 'wide')).out, / 10\.1\.2\.3 +pod-1\n/);
});

test('ps -o json keeps nanoseconds', async () => {
  const [web] = JSON.parse((await cri.amphipod('ps', '-o', 'json')).out);
  assert.equal(web.createdAt, '2025-11-24T16:00:00.123456789Z');
  assert.deepEqual([web.id, web.pod.ip, web.ports], [webId, '10.1.2.3', ['8080:80/tcp']]);
});

test('exec passes on bytes and exit code, and leaves the options of the command alone', async () => {
  assert.deepEqual(await cri.amphipod('exec', '--timeout', '5', 'web', 'ls', '-l', '--help'), {
    code: 4,
    out: '\xff\n',
    err: 'e\n',
  });
  assert.deepEqual(cri.calls, ['exec ls -l --help']);
});

test('containers by name, by pod and name, by the beginning of an id', async () => {
  for (const reference of ['web', 'front/web', 'default/front/web', webId, 'cafe']) {
    assert.equal((await cri.amphipod('exec', '--timeout', '5', reference, 'true')).code, 4, reference);
  }
  assert.equal((await cri.amphipod('exec', 'x', 'true')).err, 'amphipod: exec: no such container "x"\n');
  assert.match(
    (await cri.amphipod('exec', 'caf', 'true')).err,
    /"caf" means 2 containers: cafe00000000 \(front\/web\), cafd/,
  );
  assert.match(
    (await cri.amphipod('exec', 'job', 'true')).err,
    /container "job" is not running: it is exited/,
  );
});

test('stop and rm go on after a failure and report it', async () => {
  assert.deepEqual(await cri.amphipod('stop', '-t', '3', 'nope', 'web'), {
    code: 125,
    out: 'web\n',
    err: 'amphipod: stop: no such container "nope"\n',
  });
  assert.deepEqual(cri.calls, ['stop cafe 3']);
  assert.match((await cri.amphipod('rm', 'web')).err, /container "web" is running: stop it first, or use -f/);
  assert.deepEqual(cri.calls, []);
  assert.equal((await cri.amphipod('rm', '-f', 'web', 'job')).out, 'web\njob\n');
  assert.deepEqual(cri.calls, ['remove cafe', 'remove cafd']);
});

test('images, with a port in the name and without a tag', async () => {
  const { out } = await cri.amphipod('images');
  assert.match(out, /\nhost:5000\/a\/b +v1 +bbbbbbbbbbbb +4\.27 MB\nx +2 +bbbbbbbbbbbb +4\.27 MB\n/);
  assert.match(out, /\nhost:5000\/only +<none> +cccccccccccc +0 B\n/);
  assert.equal(JSON.parse((await cri.amphipod('images', '-o', 'json')).out)[0].size, 4_270_000);
});

test('a call that the server does not know', async () => {
  const { code, err } = await cri.amphipod('info');
  assert.equal(code, 125);
  assert.match(err, new RegExp(`the runtime at ${cri.socket} does not do this: `));
});
