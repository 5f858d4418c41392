import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import { after, before, test } from 'node:test';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import {
  Container,
  type ContainerConfig,
  ContainerState,
  ContainerStatus,
  type ContainerStatusRequest,
  type CreateContainerRequest,
  ExecSyncResponse,
  Image,
  ImageServiceService,
  PodSandbox,
  type PodSandboxConfig,
  PodSandboxStatusResponse,
  type RunPodSandboxRequest,
  RuntimeServiceService,
} from '../gen/api.ts';
import { dispatch } from './dispatch.ts';

const directory = mkdtempSync(join(tmpdir(), 'amphipod-cli-'));
const socket = join(directory, 'cri.sock');
const server = new Server();
const webId = 'cafe'.padEnd(64, '0');
const jobId = 'cafd'.padEnd(64, '1');

/** What the server was asked to do, in order. */
let calls: string[] = [];
let podConfig: PodSandboxConfig | undefined;
let containerConfig: ContainerConfig | undefined;
/** What the next container prints before it ends, and its exit code. */
let program = { output: '', exitCode: 0, startError: '' };

const pods = [
  PodSandbox.create({
    id: 'pod-1',
    metadata: { name: 'front', namespace: 'default', uid: 'u1' },
    annotations: { 'io.amphipod.ports': '8080:80/tcp' },
  }),
];
const containers = [
  Container.create({
    id: webId,
    podSandboxId: 'pod-1',
    metadata: { name: 'web' },
    image: { image: 'localhost/web:1' },
    state: ContainerState.CONTAINER_RUNNING,
    createdAt: 1_764_000_000_123_456_789n,
  }),
  Container.create({
    id: jobId,
    podSandboxId: 'pod-1',
    metadata: { name: 'job' },
    image: { image: 'localhost/job:1' },
    state: ContainerState.CONTAINER_EXITED,
  }),
];

type Reply = (error: object | null, response?: object) => void;
type Call<T> = { request: T };

const runtime = {
  listContainers: (_: unknown, reply: Reply) => reply(null, { containers }),
  listPodSandbox: ({ request }: Call<{ filter?: { labelSelector: object } }>, reply: Reply) => {
    const taken = JSON.stringify(request.filter?.labelSelector ?? {}).includes('"taken"');
    reply(null, { items: request.filter === undefined || taken ? pods : [] });
  },
  podSandboxStatus: (_: unknown, reply: Reply) =>
    reply(null, PodSandboxStatusResponse.create({ status: { network: { ip: '10.1.2.3' } } })),
  containerStatus: ({ request }: Call<ContainerStatusRequest>, reply: Reply) => {
    const state =
      request.containerId === webId ? ContainerState.CONTAINER_RUNNING : ContainerState.CONTAINER_EXITED;
    const exitCode = request.containerId === 'new' ? program.exitCode : 3;
    reply(null, {
      status: ContainerStatus.create({ id: request.containerId, state, exitCode, reason: 'Error' }),
      info: {},
    });
  },
  execSync: ({ request }: Call<{ cmd: string[] }>, reply: Reply) => {
    calls.push(`exec ${request.cmd.join(' ')}`);
    reply(
      null,
      ExecSyncResponse.create({ stdout: Buffer.from([0xff, 0x0a]), stderr: Buffer.from('e\n'), exitCode: 4 }),
    );
  },
  runPodSandbox: ({ request }: Call<RunPodSandboxRequest>, reply: Reply) => {
    podConfig = request.config;
    reply(null, { podSandboxId: 'new-pod' });
  },
  createContainer: ({ request }: Call<CreateContainerRequest>, reply: Reply) => {
    containerConfig = request.config;
    reply(null, { containerId: 'new' });
  },
  startContainer: (_: unknown, reply: Reply) => {
    if (program.startError !== '') return reply({ code: status.UNKNOWN, details: program.startError });
    const log = join(podConfig!.logDirectory, containerConfig!.logPath);
    mkdirSync(dirname(log), { recursive: true });
    appendFileSync(log, program.output);
    reply(null, {});
  },
  stopContainer: ({ request }: Call<{ containerId: string; timeout: bigint }>, reply: Reply) => {
    calls.push(`stop ${request.containerId.slice(0, 4)} ${request.timeout}`);
    reply(null, {});
  },
  removeContainer: ({ request }: Call<{ containerId: string }>, reply: Reply) => {
    calls.push(`remove ${request.containerId.slice(0, 4)}`);
    reply(null, {});
  },
  stopPodSandbox: (_: unknown, reply: Reply) => {
    calls.push('stop pod');
    reply(null, {});
  },
  removePodSandbox: (_: unknown, reply: Reply) => {
    calls.push('remove pod');
    reply(null, {});
  },
};

const images = {
  listImages: (_: unknown, reply: Reply) =>
    reply(null, {
      images: [
        Image.create({
          id: `sha256:${'b'.repeat(64)}`,
          repoTags: ['host:5000/a/b:v1', 'x:2'],
          size: 4_270_000n,
        }),
        Image.create({
          id: `sha256:${'c'.repeat(64)}`,
          repoDigests: [`host:5000/only@sha256:${'d'.repeat(64)}`],
        }),
      ],
    }),
  imageStatus: ({ request }: Call<{ image: { image: string } }>, reply: Reply) => {
    const image = Image.create({ id: 'sha256:b', repoTags: ['x:2'], size: 1n });
    reply(null, { image: request.image.image === 'absent' ? undefined : image, info: {} });
  },
  pullImage: (_: unknown, reply: Reply) =>
    reply({ code: status.NOT_FOUND, details: 'pull image "absent": not found' }),
};

before(async () => {
  server.addService(RuntimeServiceService, runtime);
  server.addService(ImageServiceService, images);
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });
});

after(() => {
  server.forceShutdown();
  rmSync(directory, { recursive: true });
});

class Sink extends Writable {
  readonly chunks: Buffer[] = [];

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.chunks.push(chunk);
    done();
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }
}

async function amphipod(...args: string[]) {
  calls = [];
  const stdout = new Sink();
  const stderr = new Sink();
  const code = await dispatch(args, { AMPHIPOD_SOCKET: `unix://${socket}` }, { stdout, stderr });
  return { code, out: stdout.text, err: stderr.text };
}

test('help and version need no server', async () => {
  for (const args of [['--help'], ['-h'], ['ps', '--help'], ['run', '-h'], ['up', '--help']]) {
    const { code, out, err } = await amphipod('--socket', '/nonexistent', ...args);
    assert.deepEqual([code, err], [0, ''], args.join(' '));
    assert.match(out, /^Usage: amphipod/);
  }
  assert.match((await amphipod('--version')).out, /^amphipod \d+\.\d+\.\d+/);
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
    assert.deepEqual(await amphipod(...args), { code: 125, out: '', err: message });
  }
});

test('a server that is not there', async () => {
  const { code, err } = await amphipod('--socket', '/nonexistent.sock', 'ps');
  assert.equal(code, 125);
  assert.equal(
    err,
    'amphipod: ps: cannot reach the runtime at /nonexistent.sock: is "amphipod up" running?\n',
  );
});

test('ps shows running containers, -a all, -o wide addresses and exit codes', async () => {
  const { out } = await amphipod('ps');
  assert.match(out, /^CONTAINER ID +NAME +IMAGE/);
  assert.match(out, /\ncafe00000000 +web +localhost\/web:1 +- +running +\d+d +front +8080:80\/tcp\n$/);
  assert.match((await amphipod('ps', '-a', '-o', 'wide')).out, /job .* exited \(3\) /);
  assert.match((await amphipod('ps', '-o', 'wide')).out, / 10\.1\.2\.3 +pod-1\n/);
});

test('ps -o json keeps nanoseconds', async () => {
  const [web] = JSON.parse((await amphipod('ps', '-o', 'json')).out);
  assert.equal(web.createdAt, '2025-11-24T16:00:00.123456789Z');
  assert.deepEqual([web.id, web.pod.ip, web.ports], [webId, '10.1.2.3', ['8080:80/tcp']]);
});

test('exec passes on bytes and exit code, and leaves the options of the command alone', async () => {
  assert.deepEqual(await amphipod('exec', 'web', 'ls', '-l', '--help'), {
    code: 4,
    out: '\xff\n',
    err: 'e\n',
  });
  assert.deepEqual(calls, ['exec ls -l --help']);
});

test('containers by name, by pod and name, by the beginning of an id', async () => {
  for (const reference of ['web', 'front/web', 'default/front/web', webId, 'cafe']) {
    assert.equal((await amphipod('exec', reference, 'true')).code, 4, reference);
  }
  assert.equal((await amphipod('exec', 'x', 'true')).err, 'amphipod: exec: no such container "x"\n');
  assert.match(
    (await amphipod('exec', 'caf', 'true')).err,
    /"caf" means 2 containers: cafe00000000 \(front\/web\), cafd/,
  );
  assert.match((await amphipod('exec', 'job', 'true')).err, /container "job" is not running: it is exited/);
});

test('stop and rm go on after a failure and report it', async () => {
  assert.deepEqual(await amphipod('stop', '-t', '3', 'nope', 'web'), {
    code: 125,
    out: 'web\n',
    err: 'amphipod: stop: no such container "nope"\n',
  });
  assert.deepEqual(calls, ['stop cafe 3']);
  assert.match((await amphipod('rm', 'web')).err, /container "web" is running: stop it first, or use -f/);
  assert.deepEqual(calls, []);
  assert.equal((await amphipod('rm', '-f', 'web', 'job')).out, 'web\njob\n');
  assert.deepEqual(calls, ['remove cafe', 'remove cafd']);
});

test('images, with a port in the name and without a tag', async () => {
  const { out } = await amphipod('images');
  assert.match(out, /\nhost:5000\/a\/b +v1 +bbbbbbbbbbbb +4\.27 MB\nx +2 +bbbbbbbbbbbb +4\.27 MB\n/);
  assert.match(out, /\nhost:5000\/only +<none> +cccccccccccc +0 B\n/);
  assert.equal(JSON.parse((await amphipod('images', '-o', 'json')).out)[0].size, 4_270_000);
});

test('run in the foreground: output, exit code, configuration, and removal of everything', async () => {
  const time = '2026-01-31T12:00:00Z';
  program = {
    output: `${time} stdout P o\n${time} stdout F ut\n${time} stderr F err\n`,
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
    directory,
    'x:2',
    'sh',
    '-c',
    '-p',
  ];
  assert.deepEqual(await amphipod('run', ...args), { code: 9, out: 'out\n', err: 'err\n' });
  assert.deepEqual(calls, ['stop pod', 'remove pod']);
  assert.deepEqual(containerConfig?.args, ['sh', '-c', '-p']);
  assert.deepEqual(
    containerConfig?.envs.map(({ key, value }) => `${key} ${value}`),
    ['K V=W'],
  );
  assert.deepEqual(podConfig?.portMappings, [
    { protocol: 1, containerPort: 8080, hostPort: 80, hostIp: '127.0.0.1' },
  ]);
  assert.equal(podConfig?.linux?.securityContext?.namespaceOptions?.pid, 1);
  assert.throws(() => appendFileSync(join(podConfig!.logDirectory, 'a/0.log'), ''), { code: 'ENOENT' });
});

test('run -d prints the id', async () => {
  program = { output: '', exitCode: 0, startError: '' };
  assert.deepEqual(await amphipod('run', '-d', '--log-dir', directory, 'x:2'), {
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
    program = { output: '', exitCode: 0, startError };
    const result = await amphipod('run', '--log-dir', directory, 'x:2', 'nope');
    assert.deepEqual(result, { code, out: '', err: `amphipod: run: ${startError}\n` });
    assert.deepEqual(calls, ['stop pod', 'remove pod']);
  }
});

test('run refuses a taken name, an absent image with --pull never, and --rm with -d', async () => {
  assert.equal(
    (await amphipod('run', '--name', 'taken', 'x')).err,
    'amphipod: run: the name "taken" is taken: amphipod rm taken\n',
  );
  assert.equal(
    (await amphipod('run', '--pull', 'never', 'absent')).err,
    'amphipod: run: no such image "absent"\n',
  );
  assert.equal(
    (await amphipod('run', 'absent')).err,
    'pulling absent\namphipod: run: pull image "absent": not found\n',
  );
  assert.match(
    (await amphipod('run', '--rm', '-d', 'x')).err,
    /--rm needs somebody to wait for the end: not with -d/,
  );
});

test('a call that the server does not know', async () => {
  const { code, err } = await amphipod('info');
  assert.equal(code, 125);
  assert.match(err, new RegExp(`the runtime at ${socket} does not do this: `));
});
