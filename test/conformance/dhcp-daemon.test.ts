/** What our DHCP daemon does over time: its end, its restart, servers that forget, refuse and come back. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pluginBinDir } from '@amphipod/plugins';
import { type DaemonSubject, daemons, type RunningDaemon, startDaemon } from './lib/dhcp-daemons.ts';
import { DhcpServer } from './lib/dhcp-server.ts';
import { subjects } from './lib/subjects.ts';
import { call, inPod, link, World } from './lib/world.ts';

const [subject] = subjects;
const [daemon] = daemons;
const root = join(import.meta.dirname, '../..');

class Scene implements AsyncDisposable {
  readonly world = new World();
  readonly server = new DhcpServer(this.world);
  readonly socketPath = join(this.world.dir, 'dhcp.sock');
  #daemon: RunningDaemon | undefined;

  async startDaemon(...flags: string[]): Promise<RunningDaemon> {
    return await this.startOther(daemon!.start, ...flags);
  }

  async startOther(start: DaemonSubject['start'], ...flags: string[]): Promise<RunningDaemon> {
    this.#daemon = await start(this.socketPath, ...flags);
    return this.#daemon;
  }

  async add(containerID: string, netns: string): Promise<string> {
    const result = await this.#call('ADD', containerID, netns);
    return result.ips![0]!.address.split('/')[0]!;
  }

  async del(containerID: string, netns: string): Promise<void> {
    await this.#call('DEL', containerID, netns);
  }

  /** Names of the files that leases are kept in. */
  get files(): string[] {
    const dir = `${this.socketPath}.leases`;
    return existsSync(dir) ? readdirSync(dir) : [];
  }

  #call(command: 'ADD' | 'DEL', containerID: string, netns: string): ReturnType<typeof call> {
    const config = { type: 'dhcp', ipam: { type: 'dhcp', daemonSocketPath: this.socketPath } };
    return call(subject!, command, config, { containerID, netns });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon?.end('SIGKILL');
    await this.server.stop();
    this.world[Symbol.dispose]();
  }
}

test('a killed daemon: the next one goes on with its leases', async () => {
  await using scene = new Scene();
  const { server } = scene;
  await server.start('--dhcp-option=option:T1,3', '--dhcp-option=option:T2,60');
  const first = await scene.startDaemon();
  const netns = server.pod();
  const ip = await scene.add('a', netns);
  await first.end('SIGKILL');
  assert.ok(existsSync(scene.socketPath), 'a killed daemon leaves its socket');
  await server.stop();
  await server.start('--dhcp-option=option:T1,3', '--dhcp-option=option:T2,60');
  await scene.startDaemon();
  await server.logged(`DHCPACK(eth0) ${ip}`);
  assert.equal(await scene.add('a', netns), ip, 'the lease that is there');
  await scene.del('a', netns);
  await server.logged(`DHCPRELEASE(eth0) ${ip}`);
  assert.deepEqual(scene.files, []);
});

test('SIGTERM puts socket and pid file away, and keeps the leases; DEL works without a daemon', async () => {
  await using scene = new Scene();
  const { server } = scene;
  await server.start();
  const pidFile = join(scene.world.dir, 'dhcp.pid');
  const running = await scene.startDaemon('-pidfile', pidFile);
  for (let i = 0; i < 100 && !existsSync(pidFile); i++) await sleep(20);
  assert.equal(readFileSync(pidFile, 'utf8'), String(running.pid));
  const second = spawnSync(join(pluginBinDir, 'dhcp'), ['daemon', '--socketpath', scene.socketPath], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.equal(second.status, 1);
  assert.match(second.stderr, /^Error getting listener: listen unix .*: bind: address already in use\n$/);
  const netns = server.pod();
  const ip = await scene.add('a', netns);
  await running.end();
  assert.deepEqual(
    [existsSync(pidFile), existsSync(scene.socketPath), scene.files.length],
    [false, false, 1],
  );
  assert.doesNotMatch(server.log, /DHCPRELEASE/);
  await scene.del('a', netns);
  await server.logged(`DHCPRELEASE(eth0) ${ip}`);
  assert.deepEqual(scene.files, []);
});

test('a server that is away at T1 and T2 is asked until it is back', async () => {
  await using scene = new Scene();
  const { server } = scene;
  const times = ['--dhcp-option=option:T1,3', '--dhcp-option=option:T2,5'];
  await server.start(...times);
  const first = await scene.startDaemon('-timeout=300ms');
  const netns = server.pod();
  const ip = await scene.add('a', netns);
  await server.stop();
  await sleep(6000);
  await server.start(...times);
  await sleep(100);
  // After T2 half of the time to the end passes between two tries: a minute here. A restart asks at once.
  await first.end();
  await scene.startDaemon();
  await server.logged(`DHCPACK(eth0) ${ip}`);
  assert.ok(link('eth0', netns)!.flags.includes('UP'));
});

test('a server that gave the address away says NAK: the interface goes down', async () => {
  await using scene = new Scene();
  const { server } = scene;
  await server.start('--dhcp-option=option:T1,3', '--dhcp-option=option:T2,60');
  await scene.startDaemon('-timeout=500ms');
  const netns = server.pod();
  const ip = await scene.add('a', netns);
  await server.stop();
  server.forget();
  await server.start(`--dhcp-host=02:00:00:00:00:01,${ip}`);
  await server.logged('DHCPNAK(eth0)');
  for (let i = 0; i < 250 && scene.files.length > 0; i++) await sleep(20);
  assert.deepEqual(scene.files, []);
  assert.ok(!link('eth0', netns)!.flags.includes('UP'));
});

test('a renewal that makes the lease one without end', async () => {
  await using scene = new Scene();
  const { server } = scene;
  const times = ['--dhcp-option=option:T1,3', '--dhcp-option=option:T2,60'];
  await server.start(...times);
  await scene.startDaemon('-timeout=500ms');
  const netns = server.pod();
  const ip = await scene.add('a', netns);
  await server.stop();
  await server.start(...times, `--dhcp-host=${link('eth0', netns)!.address},${ip},infinite`);
  await server.logged(`DHCPACK(eth0) ${ip}`);
  const [file] = scene.files;
  const expiresAt = () =>
    JSON.parse(readFileSync(join(`${scene.socketPath}.leases`, file!), 'utf8')).expiresAt;
  for (let i = 0; i < 250 && expiresAt() !== null; i++) await sleep(20);
  assert.equal(expiresAt(), null);
  assert.equal(await scene.add('a', netns), ip, 'the daemon lives');
});

test('an interface that is gone: its lease is forgotten', async () => {
  await using scene = new Scene();
  const { server } = scene;
  await server.start('--dhcp-option=option:T1,3', '--dhcp-option=option:T2,60');
  await scene.startDaemon();
  const netns = server.pod();
  await scene.add('a', netns);
  inPod(netns, 'ip', 'link', 'del', 'eth0');
  for (let i = 0; i < 250 && scene.files.length > 0; i++) await sleep(20);
  assert.deepEqual(scene.files, []);
});

test('what is no call is turned away, and the daemon lives', async () => {
  await using scene = new Scene();
  await scene.server.start();
  const running = await scene.startDaemon();
  for (const bytes of [
    'GET / HTTP/1.0\r\n\r\n',
    'CONNECT /_goRPC_ HTTP/1.0\n\n\xff\xff\xff',
    'x'.repeat(100_000),
  ]) {
    const socket = createConnection(scene.socketPath);
    socket.on('error', () => {});
    socket.end(Buffer.from(bytes, 'latin1'));
    let answer = '';
    socket.setEncoding('latin1').on('data', (text: string) => {
      answer += text;
    });
    await new Promise((resolve) => {
      socket.on('close', resolve);
    });
    if (bytes.startsWith('GET')) assert.match(answer, /^HTTP\/1\.0 405 .*must CONNECT/s);
  }
  const netns = scene.server.pod();
  assert.match(await scene.add('a', netns), /^10\.98\.0\./);
  await scene.del('a', netns);
  await running.end();
});

async function serves(scene: Scene, start: DaemonSubject['start']): Promise<void> {
  const { server } = scene;
  await server.start();
  const pidFile = join(scene.world.dir, 'dhcp.pid');
  const running = await scene.startOther(start, '--pidfile', pidFile, '--broadcast', '--timeout', '5s');
  const netns = server.pod();
  const ip = await scene.add('a', netns);
  assert.equal(readFileSync(pidFile, 'utf8'), String(running.pid));
  await scene.del('a', netns);
  await server.logged(`DHCPRELEASE(eth0) ${ip}`);
  await running.end();
  assert.deepEqual([existsSync(pidFile), existsSync(scene.socketPath)], [false, false]);
}

test('"amphipod cni dhcp-daemon" is the same daemon', async () => {
  await using scene = new Scene();
  await serves(scene, startDaemon(join(root, 'bin/amphipod'), 'cni', 'dhcp-daemon'));
  const wrong = spawnSync(join(root, 'bin/amphipod'), ['cni', 'dhcp-daemon', '--timeout', 'soon'], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.equal(wrong.status, 125);
  assert.match(wrong.stderr, /--timeout: "soon" is no duration such as 10s or 1m30s/);
});

test('the executable that stands in where there is no compiler hands its arguments on', async () => {
  await using scene = new Scene();
  const path = join(scene.world.dir, 'dhcp');
  const text = readFileSync(join(root, 'packages/plugins/launcher/launcher.sh'), 'utf8');
  writeFileSync(path, text.replace('@NAME@', 'dhcp').replace('@ROOT@', root), { mode: 0o755 });
  await serves(scene, startDaemon(path, 'daemon'));
});
