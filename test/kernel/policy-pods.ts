// Pods as network namespaces on a bridge or routed, with a prober in each, for tests of network policy.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createTestNetns, type TestNetns } from './netlink-namespaces.ts';
import type { ProbeRequest } from './policy-prober.ts';

export const proberPorts = { tcp: [53, 80, 81, 443, 8080], udp: [53, 80, 81, 443, 8080] };
const TIMEOUT_MS = 1000;

export interface ProbedPod extends AsyncDisposable {
  netns: TestNetns;
  ips: string[];
  /** Resolves when its ports listen. */
  ready: Promise<void>;
  /** Whether a packet there is answered. */
  reaches(protocol: ProbeRequest['protocol'], ip: string, port?: number): Promise<boolean>;
}

export interface PodNetwork extends AsyncDisposable {
  host: TestNetns;
  pods: ProbedPod[];
}

/**
 * `bridged`: all pods on one bridge, with the host as their gateway; `routed`: each on a link of its own.
 * @param addresses an IPv4 and an IPv6 address of each pod
 */
export async function createPodNetwork(
  kind: 'bridged' | 'routed',
  addresses: readonly (readonly [string, string])[],
): Promise<PodNetwork> {
  await using stack = new AsyncDisposableStack();
  const host = stack.use(createTestNetns());
  host.run('sh', '-c', hostSettings);
  if (kind === 'bridged') {
    host.run('ip', 'link', 'add', 'br0', 'up', 'type', 'bridge');
    host.run('ip', 'addr', 'add', '10.0.255.254/16', 'dev', 'br0');
    host.run('ip', 'addr', 'add', 'fd00::ff/16', 'dev', 'br0', 'nodad');
  }
  const pods = addresses.map((ips, index) => stack.use(createPod({ host, kind, ips, index })));
  await Promise.all(pods.map(({ ready }) => ready));
  const all = stack.move();
  return { host, pods, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

const hostSettings = `ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
echo 1 >/proc/sys/net/bridge/bridge-nf-call-ip6tables`;

interface PodSpec {
  host: TestNetns;
  kind: 'bridged' | 'routed';
  ips: readonly [string, string];
  index: number;
}

function createPod({ host, kind, ips, index }: PodSpec): ProbedPod {
  const netns = createTestNetns();
  const link = `pod${index}`;
  const [ipv4, ipv6] = ips;
  host.run('ip', 'link', 'add', link, 'up', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns.pin);
  netns.run('ip', 'link', 'set', 'lo', 'up');
  netns.run('ip', 'link', 'set', 'eth0', 'up');
  if (kind === 'bridged') {
    host.run('ip', 'link', 'set', link, 'master', 'br0');
    netns.run('ip', 'addr', 'add', `${ipv4}/16`, 'dev', 'eth0');
    netns.run('ip', 'addr', 'add', `${ipv6}/16`, 'dev', 'eth0', 'nodad');
    netns.run('ip', 'route', 'add', 'default', 'via', '10.0.255.254');
    netns.run('ip', 'route', 'add', 'default', 'via', 'fd00::ff');
  } else {
    netns.run('ip', 'addr', 'add', `${ipv4}/32`, 'dev', 'eth0');
    netns.run('ip', 'addr', 'add', `${ipv6}/128`, 'dev', 'eth0', 'nodad');
    host.run('ip', 'addr', 'add', 'fe80::1/64', 'dev', link, 'nodad');
    // The pods' gateway, as the address of every link.
    host.run('ip', 'addr', 'add', '169.254.1.1/32', 'dev', link);
    netns.run('ip', 'route', 'add', '169.254.1.1', 'dev', 'eth0');
    netns.run('ip', 'route', 'add', 'default', 'via', '169.254.1.1', 'dev', 'eth0');
    netns.run('ip', 'route', 'add', 'default', 'via', 'fe80::1', 'dev', 'eth0');
    host.run('ip', 'route', 'add', ipv4, 'dev', link);
    host.run('ip', 'route', 'add', ipv6, 'dev', link);
  }
  const prober = startProber(netns);
  return {
    netns,
    ips: [...ips],
    ready: prober.ready,
    reaches: prober.reaches,
    async [Symbol.asyncDispose]() {
      await prober.end();
      netns[Symbol.dispose]();
    },
  };
}

function startProber(netns: TestNetns) {
  const script = fileURLToPath(new URL('policy-prober.ts', import.meta.url));
  const args = [`--net=${netns.pin}`, process.execPath, script, JSON.stringify(proberPorts)];
  const child = spawn('nsenter', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = new Map<number, PromiseWithResolvers<boolean>>();
  const ready = Promise.withResolvers<void>();
  // Who still waits is told: a test must not hang.
  child.on('exit', () => {
    ready.reject(new Error('the prober has ended'));
    for (const answer of waiting.values()) answer.reject(new Error('the prober has ended'));
  });
  createInterface(child.stdout).on('line', (line) => {
    if (line === 'listening') {
      ready.resolve();
      return;
    }
    const { id, isReached } = JSON.parse(line) as { id: number; isReached: boolean };
    waiting.get(id)!.resolve(isReached);
    waiting.delete(id);
  });
  let id = 0;
  return {
    ready: ready.promise,
    reaches(protocol: ProbeRequest['protocol'], ip: string, port = 0): Promise<boolean> {
      const request: ProbeRequest = { id: id++, protocol, ip, port, timeoutMs: TIMEOUT_MS };
      child.stdin.write(`${JSON.stringify(request)}\n`);
      const answer = Promise.withResolvers<boolean>();
      waiting.set(request.id, answer);
      return answer.promise;
    },
    end: () => ended(child),
  };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.stdin!.end();
  await once(child, 'exit');
}
