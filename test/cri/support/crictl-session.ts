import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { afterEach } from 'node:test';
import { killQuietly, processTree } from '@amphipod/linux';
import type { SubjectName } from './fixture.ts';
import type { CriServer } from './server.ts';

export type Transport = 'spdy' | 'websocket';

/** The transports that a server has: containerd 1.6 serves SPDY only. */
export function transportsOf(subject: SubjectName): Transport[] {
  return subject === 'amphipod' ? ['spdy', 'websocket'] : ['spdy'];
}

export interface SessionResult {
  /** 128 when a signal ended it. */
  code: number;
  stdout: Buffer;
  stderr: string;
}

/** A client that runs: its input is open until `child.stdin` is ended. */
export interface ClientSession {
  child: ChildProcess;
  /** What has come so far. */
  output(): string;
  result: Promise<SessionResult>;
}

export interface SessionOptions {
  /** Written to its standard input, which is ended then. */
  input?: Buffer | string;
  env?: Record<string, string>;
  /** Run it on a terminal of this size (`script`). */
  terminal?: { rows: number; columns: number };
  /** Read nothing of what it prints. */
  isDeaf?: boolean;
}

const sessions = new Set<ClientSession>();

/** Ends what a test has left of its sessions, when it failed for one: the test process could not end before them. */
export function endSessionsAfterEach(): void {
  afterEach(() => {
    for (const session of sessions) killSession(session);
    sessions.clear();
  });
}

/** Starts `crictl ARGS…` against a server. */
export function startCrictl(
  program: string,
  server: CriServer,
  args: string[],
  options: SessionOptions = {},
): ClientSession {
  const configFile = `${server.dir}/crictl.yaml`;
  // Once: one that starts at the same time must not read half of it.
  if (!existsSync(configFile))
    writeFileSync(configFile, `runtime-endpoint: unix://${server.socket}\ntimeout: 30\n`);
  return startSession([program, '--config', configFile, ...args], options);
}

/** Starts a client, on a terminal of its own where the options say so. */
export function startSession(command: string[], options: SessionOptions = {}): ClientSession {
  const { terminal } = options;
  const [program = '', ...args] =
    terminal === undefined ? command : ['script', '-qec', onTerminal(command, terminal), '/dev/null'];
  const env = { ...process.env, ...options.env };
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], env });
  const chunks: Buffer[] = [];
  let stderr = '';
  if (!options.isDeaf) child.stdout!.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin!.on('error', () => {});
  if (options.input !== undefined) child.stdin!.end(options.input);
  const result = once(child, options.isDeaf ? 'exit' : 'close').then(([code]) => ({
    code: (code as number | null) ?? 128,
    stdout: Buffer.concat(chunks),
    stderr,
  }));
  const session = { child, output: () => Buffer.concat(chunks).toString(), result };
  sessions.add(session);
  // It would keep its output, half a gigabyte for some.
  child.once('exit', () => sessions.delete(session));
  return session;
}

/** Kills a client and, where it has one, its terminal. */
export function killSession({ child }: ClientSession): void {
  if (child.exitCode !== null || child.signalCode !== null) return;
  for (const pid of processTree(child.pid!)) killQuietly(pid, 'SIGKILL');
}

/** The terminal that `script` made for the client below it. */
export function terminalOf({ child }: ClientSession): string {
  return readlinkSync(`/proc/${processTree(child.pid!)[1]}/fd/0`);
}

/** TCP connections that a process holds, its listening sockets aside. */
export function connectionsOf(pid: number): number {
  const established = new Set(
    readFileSync(`/proc/${pid}/net/tcp`, 'latin1')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter(({ 3: state, 9: inode = '0' }) => state !== '0A' && inode !== '0')
      .map((fields) => fields[9]),
  );
  return descriptorsOf(pid).filter((target) => established.has(/^socket:\[(\d+)\]$/.exec(target)?.[1]))
    .length;
}

/** What the open descriptors of a process lead to. */
export function descriptorsOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      // Closed in between.
      return [];
    }
  });
}

function onTerminal(command: string[], { rows, columns }: { rows: number; columns: number }): string {
  const quoted = command.map((arg) => `'${arg.replaceAll("'", "'\\''")}'`).join(' ');
  return `stty rows ${rows} cols ${columns}; exec ${quoted}`;
}
