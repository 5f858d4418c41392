// For tests in the virtual machine: its two igb cards, their virtual functions, pods, and what ends up in the kernel.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cni, createCni, type NetworkConfigList, parseNetworkConfigList } from '@amphipod/cni';
import { pciNetdevs, pfNetdev, setVfCount, vfAddresses } from '@amphipod/linux';
import { linkFind, openRtnl, type Rtnl, vfList } from '@amphipod/netlink';
import { builtinPlugins, pluginBinDir } from '@amphipod/plugins';

/** Output of a program. @throws when it fails, with what it wrote */
export function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

export function exitCode(program: string, ...args: string[]): number {
  try {
    run(program, ...args);
    return 0;
  } catch (error) {
    return (error as { status: number }).status;
  }
}

/** A physical function and its virtual ones. */
export interface Card {
  address: string;
  name: string;
  vfs: string[];
}

/** Brings the cards up and makes so many virtual functions on each. */
export async function setUpCards(vfCount: number): Promise<Card[]> {
  const cards: Card[] = [];
  for (const address of readdirSync('/sys/bus/pci/devices').sort()) {
    if (!existsSync(`/sys/bus/pci/devices/${address}/sriov_totalvfs`)) continue;
    const name = pfNetdev(address)!;
    run('ip', 'link', 'set', name, 'up');
    setVfCount(address, vfCount);
    cards.push({ address, name, vfs: vfAddresses(address) });
  }
  run('udevadm', 'settle', '-t', '60');
  for (const { vfs } of cards)
    for (const vf of vfs) await until(() => pciNetdevs(vf).length === 1, `interface of ${vf}`);
  return cards;
}

export async function until(isSo: () => boolean, what: string, timeoutMs = 15_000): Promise<void> {
  for (const end = Date.now() + timeoutMs; ; await sleep(50)) {
    if (isSo()) return;
    if (Date.now() > end) throw new Error(`still not so after ${timeoutMs} ms: ${what}`);
  }
}

export const rtnl: Rtnl = openRtnl();

/** Everything that DEL has to put back. */
export function stateOf({ name, vfs }: Card, index: number): object {
  const pf = linkFind(rtnl, name)!;
  const [netdev = ''] = pciNetdevs(vfs[index]!);
  const link = linkFind(rtnl, netdev);
  return {
    vf: vfList(rtnl, pf.ifIndex)[index],
    netdev: link && {
      name: link.name,
      mac: link.mac,
      mtu: link.mtu,
      up: link.flags.up,
      alias: link.alias ?? '',
    },
  };
}

export function vfOf({ name }: Card, index: number) {
  return vfList(rtnl, linkFind(rtnl, name)!.ifIndex)[index]!;
}

/** The library over the project's plugins: in process, or as programs. */
export function openCni(warnings: string[] = [], { isExecuted = false } = {}): Cni {
  return createCni({
    pluginDirs: [pluginBinDir],
    cacheDir: '/var/lib/cni',
    // Node.js needs long to start on an emulated machine whose host is busy.
    timeoutMs: 300_000,
    ...(!isExecuted && { inProcess: builtinPlugins() }),
    onPluginStderr: (_type, text) => warnings.push(text),
  });
}

export function list(name: string, keys: object): NetworkConfigList {
  const plugin = { type: 'sriov', ...keys };
  return parseNetworkConfigList(JSON.stringify({ cniVersion: '1.1.0', name, plugins: [plugin] }));
}

export const staticIpam = (...addresses: string[]) => ({
  ipam: { type: 'static', addresses: addresses.map((address) => ({ address })) },
});

/** A network namespace that goes with the test. */
export class Pod implements Disposable {
  readonly name: string;
  readonly netns: string;

  constructor(name: string) {
    this.name = name;
    this.netns = `/run/netns/${name}`;
    run('ip', 'netns', 'add', name);
  }

  attachment(ifName = 'net1') {
    return { containerID: this.name, netns: this.netns, ifName };
  }

  run(program: string, ...args: string[]): string {
    return run('ip', 'netns', 'exec', this.name, program, ...args);
  }

  canPing(address: string): boolean {
    return exitCode('ip', 'netns', 'exec', this.name, 'ping', '-c', '1', '-W', '2', address) === 0;
  }

  remove(): void {
    if (existsSync(this.netns)) run('ip', 'netns', 'del', this.name);
  }

  [Symbol.dispose](): void {
    this.remove();
  }
}

export const readText = (path: string) => readFileSync(path, 'utf8').trim();

/** What becomes of the plugin when it is killed right after its n-th change of the kernel. */
export interface KillableCall {
  command: 'ADD' | 'DEL';
  list: NetworkConfigList;
  attachment: { containerID: string; netns: string; ifName: string };
  /** 0: before the first. */
  afterChange: number;
}

/** Starts processes ahead of their use: one takes seconds on the emulated machine. */
export class KillableProcesses implements Disposable {
  readonly #ready: ChildProcess[] = [];

  #start(): ChildProcess {
    const file = new URL('./killable-call.ts', import.meta.url).pathname;
    return spawn(process.execPath, ['--disable-warning=ExperimentalWarning', file], {
      stdio: ['pipe', 'ignore', 'inherit'],
    });
  }

  /** True when it was killed, false when the call was over before. @throws when the call failed by itself */
  async run(call: KillableCall): Promise<boolean> {
    while (this.#ready.length < 2) this.#ready.push(this.#start());
    const child = this.#ready.shift()!;
    child.stdin!.end(JSON.stringify(call));
    const [code, signal] = await once(child, 'exit');
    if (signal === 'SIGKILL') return true;
    if (code !== 0) throw new Error(`${call.command} ended with ${code ?? signal}`);
    return false;
  }

  [Symbol.dispose](): void {
    for (const child of this.#ready) child.kill('SIGKILL');
  }
}
