import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, type World } from './world.ts';

export const SERVER_IP = '10.98.0.1';
export const BRIDGE = 'dhcpbr0';

/** A DHCP server (dnsmasq) on a bridge of this namespace. */
export class DhcpServer implements AsyncDisposable {
  readonly #world: World;
  #process: ChildProcess | undefined;
  #log = '';
  #pods = 0;

  constructor(world: World) {
    this.#world = world;
    run('ip', 'link', 'add', BRIDGE, 'type', 'bridge');
    run('ip', 'address', 'add', `${SERVER_IP}/24`, 'dev', BRIDGE);
    run('ip', 'link', 'set', BRIDGE, 'up');
  }

  /** @param options of dnsmasq, beside the usual ones */
  async start(...options: string[]): Promise<void> {
    const server = spawn(
      'dnsmasq',
      [
        '--keep-in-foreground',
        '--conf-file=/dev/null',
        '--port=0',
        '--user=root',
        '--log-facility=-',
        '--log-dhcp',
        `--interface=${BRIDGE}`,
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
    for (let i = 0; i < 100 && !this.#log.includes('DHCP, sockets bound'); i++) await sleep(20);
    if (server.exitCode !== null) throw new Error(`dnsmasq: ${this.#log}`);
  }

  async stop(): Promise<void> {
    const server = this.#process;
    this.#process = undefined;
    if (server === undefined || server.exitCode !== null) return;
    server.kill();
    await once(server, 'exit');
  }

  /** Has the server forget its leases. */
  forget(): void {
    writeFileSync(this.#leaseFile, '');
  }

  /** What the server has logged. */
  get log(): string {
    return this.#log;
  }

  clearLog(): void {
    this.#log = '';
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

  /** A pod whose eth0 is on the bridge; gives the path of its namespace. */
  pod(): string {
    this.#pods += 1;
    const name = `dpod${this.#pods}`;
    const netns = this.#world.netns(name);
    run('ip', 'link', 'add', `${name}h`, 'type', 'veth', 'peer', 'name', `${name}c`);
    run('ip', 'link', 'set', `${name}h`, 'master', BRIDGE, 'up');
    const pin = readFileSync('/proc/sys/kernel/random/uuid', 'utf8').slice(0, 8);
    run('ip', 'link', 'set', `${name}c`, 'name', `d${pin}`);
    run('nsenter', `--net=${netns}`, 'ip', 'link', 'set', 'lo', 'up');
    moveInto(netns, `d${pin}`);
    return netns;
  }

  get #leaseFile(): string {
    return join(this.#world.dir, 'dnsmasq.leases');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** Moves a link into a namespace that has a path and no process, as `eth0`. */
function moveInto(netns: string, link: string): void {
  const holder = spawn('nsenter', [`--net=${netns}`, 'sleep', '60'], { stdio: 'ignore' });
  try {
    run('ip', 'link', 'set', link, 'netns', String(holder.pid), 'name', 'eth0');
  } finally {
    holder.kill('SIGKILL');
  }
}
