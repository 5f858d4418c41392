import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:net';
import { dirname, isAbsolute } from 'node:path';
import { isCode } from '@amphipod/linux';
import { DEFAULT_SOCKET_PATH } from './config.ts';
import { DhcpDaemon } from './daemon.ts';
import { leaseDir } from './lease-record.ts';
import { pingDaemon } from './rpc-client.ts';
import { createRpcServer } from './rpc-server.ts';

export interface DhcpDaemonOptions {
  /** Default `/run/cni/dhcp.sock`. */
  socketPath?: string;
  /** Put before the socket's path and before the path of each pod's namespace. */
  hostPrefix?: string;
  /** Gets the number of the process; an absolute path. */
  pidFile?: string;
  /** Servers are asked to answer by broadcast. */
  broadcast?: boolean;
  /** How long to wait for a server's answer to one message; default 10 s. */
  timeoutMs?: number;
  /** Longest pause between two tries, in ms; default 62 s. */
  resendMax?: number;
  /** How long an ADD tries in all; default 208 s. */
  resendTimeoutMs?: number;
  /** Ends the daemon; leases stay as they are. */
  signal: AbortSignal;
  /** A line for people; default standard error. */
  log?(line: string): void;
}

/** The first descriptor that systemd hands over: sd_listen_fds(3). */
const LISTEN_FDS_START = 3;

/**
 * Serves the dhcp plugin, this project's or the reference's: gets leases, extends them and gives them back. Goes on with those
 * of a daemon before it. Resolves when the signal is aborted and all is put away.
 * @throws Error when it cannot listen, or another daemon does
 */
export async function runDhcpDaemon(options: DhcpDaemonOptions): Promise<void> {
  const { hostPrefix = '', pidFile, signal, log = console.error } = options;
  if (pidFile !== undefined && !isAbsolute(pidFile)) {
    throw new Error(`Error writing pidfile ${JSON.stringify(pidFile)}: path not absolute`);
  }
  const socketPath = `${hostPrefix}${options.socketPath ?? DEFAULT_SOCKET_PATH}`;
  const daemon = new DhcpDaemon({
    hostPrefix,
    leaseDir: leaseDir(socketPath),
    broadcast: options.broadcast ?? false,
    timeoutMs: options.timeoutMs ?? 10_000,
    resendMax: options.resendMax ?? 62_000,
    resendTimeoutMs: options.resendTimeoutMs ?? 208_000,
    log,
  });
  const server = createRpcServer(daemon.methods);
  const connections = new Set<{ destroy(): void }>();
  server.on('connection', (socket) => {
    connections.add(socket);
    socket.on('close', () => connections.delete(socket));
  });
  await listen(server, socketPath);
  try {
    if (pidFile !== undefined) writeFileSync(pidFile, `${process.pid}`, { mode: 0o644 });
    daemon.restore();
    if (!signal.aborted) await once(signal, 'abort');
  } finally {
    // Also removes the socket's file.
    server.close();
    await daemon.suspend();
    for (const socket of connections) socket.destroy();
    if (pidFile !== undefined) rmSync(pidFile, { force: true });
  }
}

async function listen(server: Server, socketPath: string): Promise<void> {
  const inherited = inheritedSockets();
  if (inherited > 1) throw new Error(`Too many (${inherited}) FDs passed through socket activation`);
  if (inherited === 1) {
    server.listen({ fd: LISTEN_FDS_START });
    await once(server, 'listening');
    return;
  }
  mkdirSync(dirname(socketPath), { recursive: true, mode: 0o700 });
  await removeStale(socketPath);
  server.listen(socketPath);
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new Error(`Error getting listener: ${(cause as Error).message}`, { cause });
  }
}

function inheritedSockets(): number {
  return Number(process.env.LISTEN_PID) === process.pid ? Number(process.env.LISTEN_FDS) : 0;
}

/** A killed daemon leaves its socket. @throws Error when somebody answers on it */
async function removeStale(socketPath: string): Promise<void> {
  try {
    await pingDaemon(socketPath, AbortSignal.timeout(1000));
  } catch (error) {
    if (isCode((error as Error).cause, 'ENOENT')) return;
    if (isCode((error as Error).cause, 'ECONNREFUSED')) {
      rmSync(socketPath, { force: true });
      return;
    }
  }
  throw new Error(`Error getting listener: listen unix ${socketPath}: bind: address already in use`);
}
