import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { builtinPlugins, createPluginServer, ownInstallation } from '@amphipod/plugins';
import {
  installInScratch,
  type StartedServer,
  startPluginServer,
} from '../conformance/lib/start-plugin-server.ts';
import { links, World } from '../conformance/lib/world.ts';

const server = await startPluginServer();
after(() => server.process.kill('SIGKILL'));
// Falling back to Node.js needs a search path; so nothing falls back unnoticed.
const serverOnly = { PATH: '/nonexistent' };

interface Ending {
  code: number | null;
  stdout: string;
  stderr: string;
}

interface Running {
  child: ChildProcess;
  ended: Promise<Ending>;
}

/** Starts an executable of ours as a runtime does, or another program with it behind it. */
function start(argv: string[], env: Record<string, string>, stdin: string | undefined): Running {
  const child = spawn(argv[0]!, argv.slice(1), { env: { ...serverOnly, ...env } });
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      text[name] += chunk;
    });
  child.stdin.on('error', () => {});
  if (stdin !== undefined) child.stdin.end(stdin);
  return { child, ended: once(child, 'close').then(([code]) => ({ code, ...text })) };
}

const plugin = (type: string, { binDir }: StartedServer = server) => join(binDir, type);
const version = () => start([plugin('bridge')], { CNI_COMMAND: 'VERSION' }, '');

async function isServing(): Promise<void> {
  const { code, stdout } = await version().ended;
  assert.equal(code, 0);
  assert.match(stdout, /"1\.1\.0"\s+\]\s+\}$/);
}

/** The numbers and letters that src/server/protocol.ts promises, written once more. */
function frame(kind: string, payload: Buffer | string = ''): Buffer {
  const body = Buffer.from(payload);
  const head = Buffer.alloc(5);
  head.write(kind);
  head.writeUInt32LE(body.length, 1);
  return Buffer.concat([head, body]);
}

function hello(type: string, env: Record<string, string>): Buffer {
  const { version: own, root } = ownInstallation();
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  return frame('H', [own, root, type, ...variables].map((text) => `${text}\0`).join(''));
}

async function connect(): Promise<Socket> {
  const socket = createConnection(server.socket);
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** Everything that the server says until it closes. */
async function listen(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'close');
  return Buffer.concat(chunks).toString('latin1');
}

describe('plugin server: who is served', () => {
  test('root in the namespaces of the server', isServing);

  test('the socket is for root alone', () => {
    assert.equal(statSync(server.socket).mode & 0o777, 0o600);
  });

  for (const [what, ...argv] of [
    ['another network namespace', 'unshare', '--net'],
    ['another mount namespace', 'unshare', '--mount', '--propagation', 'unchanged'],
    ['another user namespace', 'unshare', '--user', '--map-root-user'],
    ['a PID namespace with its own /proc', 'unshare', '--pid', '--fork', '--mount-proc'],
  ] as [string, ...string[]][]) {
    test(`${what} is not`, async () => {
      const env = { CNI_COMMAND: 'VERSION', PATH: process.env.PATH ?? '' };
      // It falls back; the proof is that Node.js is not found.
      const command = [...argv, 'env', 'PATH=/nonexistent', plugin('bridge')];
      const { code, stdout, stderr } = await start(command, env, '').ended;
      assert.notEqual(code, 0, `${stdout}${stderr}`);
      assert.match(stderr, /uname: not found|uname: No such file/, 'it went on to start Node.js');
    });
  }

  test('falling back gives the same answer', async () => {
    const env = { CNI_COMMAND: 'VERSION', PATH: process.env.PATH ?? '' };
    const fallen = await start(['unshare', '--net', plugin('bridge')], env, '').ended;
    assert.deepEqual(fallen, await version().ended);
  });

  test('relative paths are not, as the server has another working directory', async () => {
    for (const env of [{ CNI_NETNS: 'netns/a' }, { CNI_PATH: '/opt/cni/bin:bin' }] as Record<
      string,
      string
    >[]) {
      const socket = await connect();
      socket.write(hello('bridge', { CNI_COMMAND: 'ADD', ...env }));
      assert.match(await listen(socket), /^N....relative path/s);
    }
  });

  test('launchers of another version, of another installation and of unknown plugins are not', async () => {
    const { version: own, root } = ownInstallation();
    for (const [texts, reason] of [
      [['0.0.9', root, 'bridge'], /^N....version 0\.0\.9/s],
      [[own, '/elsewhere', 'bridge'], /^N....installation \/elsewhere/s],
      [[own, root, 'constructor'], /^N....no plugin "constructor"/s],
    ] as [string[], RegExp][]) {
      const socket = await connect();
      socket.write(frame('H', texts.map((text) => `${text}\0`).join('')));
      assert.match(await listen(socket), reason);
    }
  });
});

describe('plugin server: whatever comes', () => {
  for (const [what, bytes] of [
    ['nothing', Buffer.alloc(0)],
    ['text', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['another frame', frame('I', '{}')],
    ['a hello that is none', frame('H', 'x')],
    ['a size beyond all measure', Buffer.from('H\xff\xff\xff\xff', 'latin1')],
    ['half a frame', frame('H', 'abc').subarray(0, 6)],
  ] as [string, Buffer][]) {
    test(`${what}, and a closed half`, async () => {
      const socket = await connect();
      socket.end(bytes);
      const answer = await listen(socket);
      assert.ok(answer === '' || answer.startsWith('N'), JSON.stringify(answer));
      await isServing();
    });
  }

  test('a hello byte by byte, beside others', async () => {
    const socket = await connect();
    const answer = listen(socket);
    for (const byte of hello('bridge', { CNI_COMMAND: 'VERSION' })) {
      socket.write(Buffer.from([byte]));
      await sleep(1);
    }
    await isServing();
    await sleep(50);
    socket.end(frame('A'));
    assert.match(await answer, /^R\0?/);
  });

  test('more on stdin than a server takes goes to Node.js', async () => {
    const env = {
      CNI_COMMAND: 'ADD',
      CNI_CONTAINERID: 'c',
      CNI_IFNAME: 'eth0',
      CNI_NETNS: '/x',
      CNI_PATH: '/x',
    };
    const big = Buffer.alloc((64 << 20) + 1, 'x').toString();
    const { code, stdout } = await start([plugin('bridge')], { ...env, PATH: process.env.PATH ?? '' }, big)
      .ended;
    assert.equal(code, 1);
    assert.match(stdout, /error unmarshall network config/);
    await isServing();
  });

  test('500 at once', async () => {
    const endings = await Promise.all(Array.from({ length: 500 }, () => version().ended));
    assert.equal(endings.filter(({ code }) => code === 0).length, 500);
    assert.equal(new Set(endings.map(({ stdout }) => stdout)).size, 1);
  });

  test('callers who are killed at any moment', async () => {
    for (let i = 0; i < 40; i++) {
      const { child, ended } = version();
      await sleep(i / 10);
      child.kill('SIGKILL');
      await ended;
    }
    await isServing();
  });
});

/** An IPAM plugin of somebody else; its ADD takes its time, and it notes what it is called for. */
function slowIpam(world: World, seconds: number): { dir: string; calls: string } {
  const dir = world.makeDir('bin');
  const calls = join(world.dir, 'calls');
  writeFileSync(
    join(dir, 'slow-ipam'),
    `#!/bin/sh
export PATH=/usr/bin:/bin
cat >/dev/null
echo "$CNI_COMMAND $MARK" >>${calls}
[ "$CNI_COMMAND" = ADD ] || exit 0
sleep ${seconds}
echo '{"cniVersion":"1.0.0","ips":[{"address":"10.9.0.2/24"}]}'
`,
  );
  chmodSync(join(dir, 'slow-ipam'), 0o755);
  return { dir, calls };
}

function addCall(world: World, dir: string, netns: string) {
  const config = {
    cniVersion: '1.0.0',
    name: 'slow',
    type: 'bridge',
    bridge: 'slow0',
    ipam: { type: 'slow-ipam' },
  };
  const env = {
    CNI_COMMAND: 'ADD',
    CNI_CONTAINERID: 'c1',
    CNI_IFNAME: 'eth0',
    CNI_NETNS: netns,
    CNI_PATH: dir,
    MARK: world.dir,
  };
  return { env, stdin: JSON.stringify(config) };
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !condition(); i++) await sleep(25);
  assert.ok(condition(), `it never was: ${condition}`);
}

const names = (netns?: string) => links(netns).map(({ ifname }) => ifname);

describe('plugin server: an ADD whose caller is gone', () => {
  test('delegates get the environment of the caller', async () => {
    using world = new World();
    const { dir, calls } = slowIpam(world, 0);
    const { env, stdin } = addCall(world, dir, world.netns('a'));
    const { code, stdout } = await start([plugin('bridge')], env, stdin).ended;
    assert.equal(code, 0, stdout);
    assert.equal(readFileSync(calls, 'utf8'), `ADD ${world.dir}\n`);
  });

  test('is ended in the middle and undone', async () => {
    using world = new World();
    const { dir, calls } = slowIpam(world, 30);
    const netns = world.netns('a');
    const { env, stdin } = addCall(world, dir, netns);
    const { child, ended } = start([plugin('bridge')], env, stdin);
    await until(() => existsSync(calls) && names(netns).includes('eth0'));
    child.kill('SIGKILL');
    await ended;
    await until(() => !names(netns).includes('eth0') && !names().includes('slow0'));
    assert.match(readFileSync(calls, 'utf8'), /^ADD .*\nDEL .*\n$/);
  });

  test('is undone when its result does not arrive, and the next call of this pod waits for that', async () => {
    using world = new World();
    const netns = world.netns('a');
    const { dir } = slowIpam(world, 0.3);
    const { env, stdin } = addCall(world, dir, netns);
    const socket = await connect();
    socket.write(hello('bridge', env));
    await once(socket, 'data');
    socket.write(frame('I', stdin));
    const [result] = (await once(socket, 'data')) as [Buffer];
    assert.equal(result.toString('latin1', 0, 1), 'R');
    assert.equal(result[5], 0, 'exit code');
    assert.ok(names(netns).includes('eth0'));
    // Without the acknowledgement.
    socket.destroy();
    const { code, stdout } = await start([plugin('bridge')], env, stdin).ended;
    assert.equal(code, 0, stdout);
    assert.ok(names(netns).includes('eth0'));
    await start([plugin('bridge')], { ...env, CNI_COMMAND: 'DEL' }, stdin).ended;
  });

  test('is undone when nobody takes its result from the launcher', async () => {
    using world = new World();
    const netns = world.netns('a');
    const { dir, calls } = slowIpam(world, 0.3);
    const { env, stdin } = addCall(world, dir, netns);
    const { child, ended } = start([plugin('bridge')], env, stdin);
    child.stdout!.destroy();
    await ended;
    await until(() => existsSync(calls) && !names(netns).includes('eth0'));
  });
});

describe('plugin server: its own end', () => {
  test('in the middle of an ADD is error 11, in the middle of a DEL nothing at all', async () => {
    using world = new World();
    for (const command of ['ADD', 'DEL']) {
      const mortal = await startPluginServer();
      const { dir } = slowIpam(world, 30);
      const { env, stdin } = addCall(world, dir, world.netns(command));
      const slow = { ...env, CNI_COMMAND: command, PATH: process.env.PATH ?? '' };
      const { child, ended } = start([plugin('bridge', mortal)], slow, undefined);
      // It has asked for stdin by then, or asks nobody.
      await sleep(300);
      mortal.process.kill('SIGKILL');
      await once(mortal.process, 'exit');
      child.stdin!.end(stdin);
      const { code, stdout } = await ended;
      if (command === 'ADD') {
        assert.equal(code, 1);
        assert.deepEqual(JSON.parse(stdout), {
          code: 11,
          msg: `run plugin by ${mortal.socket}: the server ended before it answered`,
        });
      } else assert.deepEqual([code, stdout], [0, '']);
    }
  });

  test('lets calls under way finish and takes the socket away', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'cni-server-'));
    try {
      const socketPath = join(dir, 'deep/cni.sock');
      const own = await createPluginServer({ socketPath, plugins: builtinPlugins() });
      await assert.rejects(createPluginServer({ socketPath }), { code: 'try-again-later' });
      const call = start([join(installInScratch(socketPath), 'bridge')], { CNI_COMMAND: 'VERSION' }, '');
      assert.equal((await call.ended).code, 0);
      await own[Symbol.asyncDispose]();
      assert.deepEqual(readdirSync(join(dir, 'deep')), ['cni.sock.lock']);
      // What a killed server leaves is in nobody's way.
      writeFileSync(socketPath, '');
      await (await createPluginServer({ socketPath }))[Symbol.asyncDispose]();
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
