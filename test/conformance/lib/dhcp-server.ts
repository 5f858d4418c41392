import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ipInPod, run, type World } from './world.ts';

export const SERVER_IP = '10.98.0.1';
export const BRIDGE = 'dhcpbr0';

/** A DHCP server (dnsmasq) in a namespace of its own, on a bridge of this one: as on a network that the machine is part of. */
export class DhcpServer implements AsyncDisposable {
  readonly #world: World;
  readonly #netns: string;
  #process: ChildProcess | undefined;
  #log = '';
  #pods = 0;

  constructor(world: World) {
    this.#world = world;
    run('ip', 'link', 'add', BRIDGE, 'type', 'bridge');
    run('ip', 'address', 'add', '10.98.0.2/24', 'dev', BRIDGE);
    run('ip', 'link', 'set', BRIDGE, 'up');
    this.#netns = world.netns('dhcp-server');
    this.#plug(this.#netns, 'server');
    ipInPod(this.#netns, `address add ${SERVER_IP}/24 dev eth0`, 'link set eth0 up');
  }

  /** @param options of dnsmasq, beside the usual ones */
  async start(...options: string[]): Promise<void> {
    this.#log = '';
    const server = spawn(
      'nsenter',
      [
        `--net=${this.#netns}`,
        'dnsmasq',
        '--keep-in-foreground',
        '--conf-file=/dev/null',
        '--port=0',
        '--user=root',
        '--log-facility=-',
        '--log-dhcp',
        '--interface=eth0',
        '--bind-interfaces',
        '--no-ping',
        '--dhcp-authoritative',
        `--pid-file=${join(this.#world.dir, 'dnsmasq.pid')}`,
        `--dhcp-leasefile=${this.#leaseFile}`,
        '--dhcp-range=10.98.0.50,10.98.0.99,255.255.255.0,120',
        ...options,
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.#process = server;
    server.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#log += text;
    });
    await this.logged('DHCP, sockets bound');
  }

  async stop(): Promise<void> {
    const server = this.#process;
    this.#process = undefined;
    if (server === undefined || server.exitCode !== null) return;
    server.kill();
    await once(server, 'exit');
  }

  /** Has the server forget its leases; while it is stopped. */
  forget(): void {
    writeFileSync(this.#leaseFile, '');
  }

  /** Waits until the server, since its start, has logged this. @throws Error after 10 s */
  async logged(text: string): Promise<void> {
    for (let i = 0; i < 500; i++) {
      if (this.#log.includes(text)) return;
      await sleep(20);
    }
    throw new Error(`the server has not logged ${JSON.stringify(text)}:\n${this.#log}`);
  }

  get log(): string {
    return this.#log;
  }

  /** Addresses given out at the moment, with the client identifier as text. */
  leases(): { ip: string; clientId: string }[] {
    if (!existsSync(this.#leaseFile)) return [];
    return readFileSync(this.#leaseFile, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const [, , ip = '', , id = ''] = line.split(' ');
        return { ip, clientId: Buffer.from(id.replaceAll(':', ''), 'hex').toString().replace('\0', '') };
      });
  }

  /** A pod whose eth0 is on the bridge, down; gives the path of its namespace. */
  pod(): string {
    this.#pods += 1;
    const netns = this.#world.netns(`dhcp-pod${this.#pods}`);
    this.#plug(netns, `pod${this.#pods}`);
    return netns;
  }

  #plug(netns: string, name: string): void {
    run('ip', 'link', 'add', `h-${name}`, 'type', 'veth', 'peer', 'name', `c-${name}`);
    run('ip', 'link', 'set', `h-${name}`, 'master', BRIDGE, 'up');
    // `ip` takes a process where the namespace has no name below /run/netns.
    const holder = spawn('nsenter', [`--net=${netns}`, 'sleep', '60'], { stdio: 'ignore' });
    try {
      waitForNamespace(holder.pid!, netns);
      run('ip', 'link', 'set', `c-${name}`, 'netns', String(holder.pid), 'name', 'eth0');
    } finally {
      holder.kill('SIGKILL');
    }
  }

  get #leaseFile(): string {
    return join(this.#world.dir, 'dnsmasq.leases');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

function waitForNamespace(pid: number, netns: string): void {
  for (let i = 0; i < 200; i++) {
    if (run('stat', '-Lc', '%i', `/proc/${pid}/ns/net`) === run('stat', '-Lc', '%i', netns)) return;
  }
  throw new Error(`process ${pid} did not enter ${netns}`);
}
