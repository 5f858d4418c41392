import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import {
  ContainerConfig,
  ExecSyncResponse,
  Mount,
  PodSandboxConfig,
  PodSandboxStatus,
  RuntimeServiceService,
  StatusRequest,
} from '../gen/api.ts';
import { connectCri } from './client.ts';
import { socketPath } from './connection.ts';

const directory = mkdtempSync(join(tmpdir(), 'amphipod-client-'));
const socket = join(directory, 'cri.sock');
const server = new Server({ 'grpc.max_send_message_length': -1 });
let cancelled: Promise<void>;

before(async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  cancelled = promise;
  server.addService(RuntimeServiceService, {
    execSync: (_: unknown, reply: (error: null, response: ExecSyncResponse) => void) =>
      reply(
        null,
        ExecSyncResponse.create({ stdout: Buffer.alloc(16 << 20), stderr: Buffer.alloc(16 << 20) }),
      ),
    runPodSandbox: (_: unknown, reply: (error: object) => void) =>
      reply({ code: status.UNAVAILABLE, details: 'attach network: no configuration' }),
    // Never answers.
    status: (call: { on(event: 'cancelled', listener: () => void): void }) => call.on('cancelled', resolve),
  });
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

test('the longest answer of ExecSync fits', async () => {
  using client = connectCri(socket);
  const { stdout, stderr } = await client.runtime.execSync({ containerId: 'x', cmd: ['y'], timeout: 0n });
  assert.deepEqual([stdout.length, stderr.length], [16 << 20, 16 << 20]);
});

test('a deadline, and a method that the server does not have', async () => {
  using client = connectCri(socket);
  const late = client.runtime.status({ verbose: false }, { timeoutMs: 50 });
  await assert.rejects(late, { code: status.DEADLINE_EXCEEDED });
  const unknown = client.runtime.version({ version: '' });
  await assert.rejects(unknown, {
    code: status.UNIMPLEMENTED,
    message: /^the runtime at .* does not do this: /,
  });
});

test('an aborted signal cancels the call at the server', async () => {
  using client = connectCri(socket);
  const abort = new AbortController();
  const call = client.runtime.status({ verbose: false }, { signal: abort.signal });
  setTimeout(() => abort.abort(), 20);
  await assert.rejects(call, { code: status.CANCELLED });
  await cancelled;
});

test('nobody at the socket', async () => {
  // A socket file without a listener, as a killed daemon leaves it: closing removes the file only under its first name.
  const stale = join(directory, 'stale.sock');
  const listener = createServer().listen(`${stale}.tmp`);
  await once(listener, 'listening');
  renameSync(`${stale}.tmp`, stale);
  listener.close();
  for (const path of [stale, join(directory, 'none.sock')]) {
    using client = connectCri(path);
    const message = `cannot reach the runtime at ${path}: is "amphipod up" running?`;
    await assert.rejects(client.runtime.version({ version: '' }), { code: status.UNAVAILABLE, message });
  }
});

test('a server that is there and calls itself unavailable is quoted', async () => {
  using client = connectCri(socket);
  const call = client.runtime.runPodSandbox({ config: undefined, runtimeHandler: '' });
  await assert.rejects(call, { code: status.UNAVAILABLE, message: 'attach network: no configuration' });
});

test('the forms of a socket', () => {
  for (const endpoint of ['unix:///run/x.sock', 'unix:/run/x.sock', '/run/x.sock']) {
    assert.equal(socketPath(endpoint), '/run/x.sock');
  }
});

// What the kubelet relies on and a codec may get wrong.

test('absent messages stay absent, empty ones stay', () => {
  const decode = (config: PodSandboxConfig) =>
    PodSandboxConfig.decode(PodSandboxConfig.encode(config).finish());
  assert.equal(decode(PodSandboxConfig.create({})).dnsConfig, undefined);
  assert.deepEqual(decode(PodSandboxConfig.create({ dnsConfig: {} })).dnsConfig, {
    servers: [],
    searches: [],
    options: [],
  });
});

test('nanoseconds are exact', () => {
  const createdAt = 1_764_000_000_123_456_789n;
  const bytes = PodSandboxStatus.encode(PodSandboxStatus.create({ createdAt })).finish();
  assert.equal(PodSandboxStatus.decode(bytes).createdAt, createdAt);
});

test('values of the environment are bytes', () => {
  const config = ContainerConfig.create({ envs: [{ key: 'K', value: Buffer.from([0xff, 0xfe]) }] });
  const [env] = ContainerConfig.decode(ContainerConfig.encode(config).finish()).envs;
  assert.deepEqual([...env!.value], [0xff, 0xfe]);
});

test('field numbers of names that are written in an unusual way', () => {
  const mount = Mount.encode(
    Mount.create({ uidMappings: [{ length: 1 }], gidMappings: [{ length: 1 }] }),
  ).finish();
  assert.equal(Buffer.from(mount).toString('hex'), '320218013a021801');
  const config = ContainerConfig.encode(ContainerConfig.create({ CDIDevices: [{ name: 'a' }] })).finish();
  assert.equal(Buffer.from(config).toString('hex'), '8a01030a0161');
});

test('fields and enum values of a newer kubelet are no error', () => {
  // Field 1 verbose = true, then field 999 of each wire type.
  const unknown = Buffer.from(
    '0801' + 'b83e05' + 'ba3e0161' + 'bd3e01020304' + 'b93e0102030405060708',
    'hex',
  );
  assert.deepEqual(StatusRequest.decode(unknown), { verbose: true });
  assert.equal(PodSandboxStatus.decode(Buffer.from('1863', 'hex')).state, 99);
});
