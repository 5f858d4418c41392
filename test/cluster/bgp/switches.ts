// Top-of-rack switches for tests: FRR and GoBGP, each in a namespace on the nodes' bridge.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTestNetns, type TestNetns } from '../../kernel/netlink-namespaces.ts';
import { until } from '../nodes.ts';

export interface Switch extends AsyncDisposable {
  netns: TestNetns;
  ip: string;
  /** Networks of the nodes as the switch has them by BGP. */
  learned(): string[];
  kill(): Promise<void>;
}

interface SwitchOptions {
  middle: TestNetns;
  ip: string;
  asNumber: number;
  nodes: readonly string[];
  nodesAs: number;
  /** What it tells the nodes. */
  announces: string;
}

/** A namespace with a leg on the bridge, that forwards. */
function createLeg(middle: TestNetns, ip: string): TestNetns {
  const netns = createTestNetns();
  const port = `s${ip.split('.').at(-1)}`;
  netns.run('ip', 'link', 'set', 'lo', 'up');
  netns.run('sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward');
  middle.run('ip', 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns.pin);
  middle.run('ip', 'link', 'set', port, 'up', 'master', 'br0');
  netns.run('ip', 'link', 'set', 'eth0', 'up');
  netns.run('ip', 'addr', 'add', `${ip}/24`, 'dev', 'eth0');
  return netns;
}

interface Daemons {
  start(program: string, args: readonly string[]): void;
  log(): string;
  kill(): Promise<void>;
}

function daemonsIn(netns: TestNetns, dir: string): Daemons {
  const children: ChildProcess[] = [];
  let log = '';
  return {
    start(program, args) {
      const child = spawn('nsenter', [`--net=${netns.pin}`, program, ...args], {
        cwd: dir,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (chunk: Buffer) => {
          log += chunk;
        });
      }
      children.push(child);
    },
    log: () => log,
    async kill() {
      for (const child of children.splice(0)) {
        if (child.exitCode !== null || child.signalCode !== null) continue;
        const exited = once(child, 'exit');
        child.kill('SIGKILL');
        await exited;
      }
    },
  };
}

/** FRR's zebra and bgpd. */
export async function startFrr(options: SwitchOptions): Promise<Switch> {
  const { middle, ip, asNumber, nodes, nodesAs, announces } = options;
  const netns = createLeg(middle, ip);
  const dir = mkdtempSync(join(tmpdir(), 'frr-test-'));
  // Its daemons give up root.
  execFileSync('chown', ['frr:frr', dir]);
  const neighbors = nodes.map((node) => `  neighbor ${node} remote-as ${nodesAs}\n`).join('');
  writeFileSync(join(dir, 'zebra.conf'), 'hostname tor\n');
  writeFileSync(
    join(dir, 'bgpd.conf'),
    `router bgp ${asNumber}\n  bgp router-id ${ip}\n  no bgp ebgp-requires-policy\n  no bgp network import-check\n  bgp graceful-restart\n  timers bgp 3 9\n${neighbors}  address-family ipv4 unicast\n    network ${announces}\n`,
  );
  const daemons = daemonsIn(netns, dir);
  const common = ['-z', join(dir, 'zserv.sock'), '--vty_socket', dir, '--log', 'stdout'];
  daemons.start('/usr/lib/frr/zebra', [
    ...common,
    '-f',
    join(dir, 'zebra.conf'),
    '-i',
    join(dir, 'zebra.pid'),
  ]);
  const ask = (command: string) =>
    execFileSync('vtysh', ['--vty_socket', dir, '-d', 'bgpd', '-c', command], {
      encoding: 'utf8',
      stdio: 'pipe',
    });
  await until('zebra listens', () => isThere(join(dir, 'zebra.vty'))).catch((error: Error) => {
    throw new Error(`${error.message}: ${daemons.log()}`);
  });
  daemons.start('/usr/lib/frr/bgpd', [...common, '-f', join(dir, 'bgpd.conf'), '-i', join(dir, 'bgpd.pid')]);
  await until('bgpd answers', () => isThere(join(dir, 'bgpd.vty'))).catch((error: Error) => {
    throw new Error(`${error.message}: ${daemons.log()}`);
  });
  return {
    netns,
    ip,
    learned() {
      const { routes } = JSON.parse(ask('show bgp ipv4 unicast json')) as { routes: Record<string, unknown> };
      return Object.keys(routes).filter((network) => network !== announces);
    },
    kill: () => daemons.kill(),
    async [Symbol.asyncDispose]() {
      await daemons.kill();
      netns[Symbol.dispose]();
      rmSync(dir, { recursive: true });
    },
  };
}

function isThere(path: string): boolean {
  try {
    execFileSync('test', ['-S', path]);
    return true;
  } catch {
    return false;
  }
}

interface GobgpPath {
  attrs: { type: number; nexthop?: string }[];
}

/** GoBGP, whose routes are put into its namespace's kernel by {@link GobgpSwitch.install}. */
export interface GobgpSwitch extends Switch {
  /** Writes what it learned into the kernel, which GoBGP itself does not do. */
  install(): void;
}

export async function startGobgp(options: SwitchOptions): Promise<GobgpSwitch> {
  const { middle, ip, asNumber, nodes, nodesAs, announces } = options;
  const netns = createLeg(middle, ip);
  const dir = mkdtempSync(join(tmpdir(), 'gobgp-test-'));
  const neighbors = nodes.map(
    (node) =>
      `[[neighbors]]\n[neighbors.config]\nneighbor-address = "${node}"\npeer-as = ${nodesAs}\n[neighbors.timers.config]\nconnect-retry = 1\nhold-time = 9\nkeepalive-interval = 3\n`,
  );
  const config = join(dir, 'gobgpd.toml');
  writeFileSync(config, `[global.config]\nas = ${asNumber}\nrouter-id = "${ip}"\n${neighbors.join('')}`);
  const daemons = daemonsIn(netns, dir);
  daemons.start('gobgpd', ['-f', config, '--api-hosts', '127.0.0.1:50051', '--log-plain']);
  const ask = (...args: string[]) => netns.run('gobgp', ...args);
  await until('gobgpd answers', () => {
    try {
      ask('global', 'rib', 'add', announces, 'origin', 'igp');
      return true;
    } catch {
      return false;
    }
  }).catch((error: Error) => {
    throw new Error(`${error.message}: ${daemons.log()}`);
  });
  const rib = () => JSON.parse(ask('global', 'rib', '-j') || '{}') as Record<string, GobgpPath[]>;
  const learned = () => Object.keys(rib()).filter((network) => network !== announces);
  return {
    netns,
    ip,
    learned,
    install() {
      const found = rib();
      for (const network of learned()) {
        const nextHop = found[network]![0]!.attrs.find(({ nexthop }) => nexthop !== undefined)?.nexthop;
        netns.run('ip', 'route', 'replace', network, 'via', nextHop!);
      }
    },
    kill: () => daemons.kill(),
    async [Symbol.asyncDispose]() {
      await daemons.kill();
      netns[Symbol.dispose]();
      rmSync(dir, { recursive: true });
    },
  };
}

/** A host with one address, behind several switches; it answers by whichever link. */
export function createOuterHost(switches: readonly Switch[], address: string): TestNetns {
  const host = createTestNetns();
  host.run('ip', 'link', 'set', 'lo', 'up');
  host.run('ip', 'addr', 'add', `${address}/32`, 'dev', 'lo');
  for (const [i, { netns }] of switches.entries()) {
    const link = `up${i}`;
    netns.run('ip', 'link', 'add', 'outer', 'type', 'veth', 'peer', 'name', link, 'netns', host.pin);
    netns.run('ip', 'link', 'set', 'outer', 'up');
    netns.run('ip', 'addr', 'add', `172.30.${i}.1/30`, 'dev', 'outer');
    host.run('ip', 'link', 'set', link, 'up');
    host.run('ip', 'addr', 'add', `172.30.${i}.2/30`, 'dev', link);
    netns.run('ip', 'route', 'add', `${address}/32`, 'via', `172.30.${i}.2`);
  }
  const ways = switches.flatMap((_one, i) => ['nexthop', 'via', `172.30.${i}.1`]);
  host.run('ip', 'route', 'add', 'default', ...ways);
  return host;
}
