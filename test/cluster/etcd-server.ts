// A real etcd for tests: one member or several, on loopback, with its data in a directory of its own.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const READY_TRIES = 300;
const READY_DELAY_MS = 100;

export interface EtcdMember {
  /** `http://127.0.0.1:PORT` */
  endpoint: string;
  start(): Promise<void>;
  /** SIGKILL; the data stays. */
  kill(): Promise<void>;
  /** Throws the data of the stopped member away. */
  wipe(): void;
}

export interface TlsFiles {
  ca: string;
  cert: string;
  key: string;
}

export interface EtcdServer extends AsyncDisposable {
  /** What the server accepts from clients; it uses the same itself. */
  tlsFiles: TlsFiles | undefined;
  members: EtcdMember[];
  endpoints: string[];
}

/** Starts a cluster and waits until each member answers; with `tls` it wants certificates of its clients. @param host loopback unless given */
export async function startEtcd({
  size = 1,
  tls = false,
  host = '127.0.0.1',
}: {
  size?: number;
  tls?: boolean;
  host?: string;
} = {}): Promise<EtcdServer> {
  const dir = mkdtempSync(join(tmpdir(), 'etcd-test-'));
  const tlsFiles = tls ? makeCertificate(dir) : undefined;
  const ports = await freePorts(3 * size);
  const names = ports.slice(0, size).map((_, i) => `m${i}`);
  const peers = names.map((name, i) => `${name}=http://127.0.0.1:${ports[size + i]}`).join(',');
  const scheme = tls ? 'https' : 'http';
  const members = names.map((name, i) =>
    createMember({
      name,
      dir,
      peers,
      tlsFiles,
      clientUrl: `${scheme}://${host}:${ports[i]}`,
      peerUrl: `http://127.0.0.1:${ports[size + i]}`,
      healthUrl: `http://127.0.0.1:${ports[2 * size + i]}`,
    }),
  );
  await Promise.all(members.map((member) => member.start()));
  return {
    tlsFiles,
    members,
    endpoints: members.map(({ endpoint }) => endpoint),
    async [Symbol.asyncDispose]() {
      await Promise.all(members.map((member) => member.kill()));
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

export interface MemberOptions {
  name: string;
  /** For data and log. */
  dir: string;
  /** `m0=http://…,m1=http://…` */
  peers: string;
  tlsFiles?: TlsFiles | undefined;
  clientUrl: string;
  peerUrl: string;
  healthUrl: string;
  /** Path of a network namespace; the test's own unless given. */
  netns?: string;
}

export function createMember(options: MemberOptions): EtcdMember {
  const { name, dir, peers, tlsFiles, clientUrl, peerUrl, healthUrl, netns } = options;
  const dataDir = join(dir, name);
  const log = join(dir, `${name}.log`);
  let child: ChildProcess | undefined;
  return {
    endpoint: clientUrl,
    async start() {
      const args = ['--name', name, '--data-dir', dataDir, '--initial-cluster', peers];
      args.push('--listen-client-urls', clientUrl, '--advertise-client-urls', clientUrl);
      args.push('--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl);
      if (tlsFiles !== undefined) {
        args.push('--client-cert-auth', '--trusted-ca-file', tlsFiles.ca);
        args.push('--cert-file', tlsFiles.cert, '--key-file', tlsFiles.key);
      }
      // Health is asked for in the clear, whatever the clients have to show.
      args.push('--listen-metrics-urls', healthUrl, '--unsafe-no-fsync');
      const [command, first] = netns === undefined ? ['etcd', []] : ['nsenter', [`--net=${netns}`, 'etcd']];
      child = spawn(command, [...first, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
      child.stderr!.pipe(createWriteStream(log, { flags: 'a' }));
      await untilHealthy(healthUrl, log);
    },
    async kill() {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
    wipe: () => rmSync(dataDir, { recursive: true, force: true }),
  };
}

/** One self-signed certificate for both sides. */
export function makeCertificate(dir: string): TlsFiles {
  const [cert, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
  const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  args.push('-subj', '/CN=etcd-test', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2');
  execFileSync('openssl', [...args, '-keyout', key, '-out', cert], { stdio: 'pipe' });
  return { ca: cert, cert, key };
}

async function untilHealthy(endpoint: string, log: string): Promise<void> {
  for (let tries = 0; tries < READY_TRIES; tries++) {
    const answer = await fetch(`${endpoint}/health`).catch(() => undefined);
    if (answer?.ok) return;
    await delay(READY_DELAY_MS);
  }
  throw new Error(`etcd at ${endpoint} does not become healthy: ${readFileSync(log, 'utf8').slice(-2000)}`);
}

/** A call of etcd's JSON gateway, as another client than ours. */
export async function etcdGateway(endpoint: string, path: string, body: object): Promise<unknown> {
  const answer = await fetch(`${endpoint}/v3/${path}`, { method: 'POST', body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`etcd gateway: ${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
