// A CRI server with canned answers for the tests of the command line.
import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Writable } from 'node:stream';
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

/** The id of the container "web", which runs in the pod "front"; "job" beside it has exited with 3. */
export const webId = 'cafe'.padEnd(64, '0');
const jobId = 'cafd'.padEnd(64, '1');

export interface FakeCri {
  /** For logs; removed at the end. */
  directory: string;
  socket: string;
  /** What the last command line made the server do, in order. */
  calls: string[];
  podConfig?: PodSandboxConfig | undefined;
  containerConfig?: ContainerConfig | undefined;
  /** What a new container writes to its log before it ends, and its exit code; or why it does not start. */
  program: { log: string; exitCode: number; startError: string };
  /** Runs a command line against this server. */
  amphipod(...args: string[]): Promise<{ code: number; out: string; err: string }>;
  stop(): void;
}

export async function startFakeCri(): Promise<FakeCri> {
  const directory = mkdtempSync(join(tmpdir(), 'amphipod-cli-'));
  const socket = join(directory, 'cri.sock');
  const server = new Server();
  const state: FakeCri = {
    directory,
    socket,
    calls: [],
    program: { log: '', exitCode: 0, startError: '' },
    async amphipod(...args) {
      state.calls = [];
      const stdout = new Sink();
      const stderr = new Sink();
      const code = await dispatch(args, { AMPHIPOD_SOCKET: `unix://${socket}` }, { stdout, stderr });
      return { code, out: stdout.text, err: stderr.text };
    },
    stop() {
      server.forceShutdown();
      rmSync(directory, { recursive: true });
    },
  };
  server.addService(RuntimeServiceService, runtimeHandlers(state));
  server.addService(ImageServiceService, imageHandlers);
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });
  return state;
}

export class Sink extends Writable {
  readonly #chunks: Buffer[] = [];

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#chunks.push(chunk);
    done();
  }

  /** One character per byte. */
  get text(): string {
    return Buffer.concat(this.#chunks).toString('latin1');
  }
}

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

function runtimeHandlers(state: FakeCri) {
  return {
    listContainers: (_: unknown, reply: Reply) => reply(null, { containers }),
    listPodSandbox: ({ request }: Call<{ filter?: { labelSelector: object } }>, reply: Reply) => {
      const taken = JSON.stringify(request.filter?.labelSelector ?? {}).includes('"taken"');
      reply(null, { items: request.filter === undefined || taken ? pods : [] });
    },
    podSandboxStatus: (_: unknown, reply: Reply) =>
      reply(null, PodSandboxStatusResponse.create({ status: { network: { ip: '10.1.2.3' } } })),
    containerStatus: ({ request }: Call<ContainerStatusRequest>, reply: Reply) => {
      const containerState =
        request.containerId === webId ? ContainerState.CONTAINER_RUNNING : ContainerState.CONTAINER_EXITED;
      const exitCode = request.containerId === 'new' ? state.program.exitCode : 3;
      reply(null, {
        status: ContainerStatus.create({
          id: request.containerId,
          state: containerState,
          exitCode,
          reason: 'Error',
        }),
        info: {},
      });
    },
    execSync: ({ request }: Call<{ cmd: string[] }>, reply: Reply) => {
      state.calls.push(`exec ${request.cmd.join(' ')}`);
      reply(
        null,
        ExecSyncResponse.create({
          stdout: Buffer.from([0xff, 0x0a]),
          stderr: Buffer.from('e\n'),
          exitCode: 4,
        }),
      );
    },
    runPodSandbox: ({ request }: Call<RunPodSandboxRequest>, reply: Reply) => {
      state.podConfig = request.config;
      reply(null, { podSandboxId: 'new-pod' });
    },
    createContainer: ({ request }: Call<CreateContainerRequest>, reply: Reply) => {
      state.containerConfig = request.config;
      reply(null, { containerId: 'new' });
    },
    startContainer: (_: unknown, reply: Reply) => {
      if (state.program.startError !== '')
        return reply({ code: status.UNKNOWN, details: state.program.startError });
      const log = join(state.podConfig!.logDirectory, state.containerConfig!.logPath);
      mkdirSync(dirname(log), { recursive: true });
      appendFileSync(log, state.program.log);
      reply(null, {});
    },
    stopContainer: ({ request }: Call<{ containerId: string; timeout: bigint }>, reply: Reply) => {
      state.calls.push(`stop ${request.containerId.slice(0, 4)} ${request.timeout}`);
      reply(null, {});
    },
    removeContainer: ({ request }: Call<{ containerId: string }>, reply: Reply) => {
      state.calls.push(`remove ${request.containerId.slice(0, 4)}`);
      reply(null, {});
    },
    stopPodSandbox: (_: unknown, reply: Reply) => {
      state.calls.push('stop pod');
      reply(null, {});
    },
    removePodSandbox: (_: unknown, reply: Reply) => {
      state.calls.push('remove pod');
      reply(null, {});
    },
  };
}

const imageHandlers = {
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
