import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AttachmentId, CniError, NetConf, Result } from '@amphipod/cni';
import { createPinnedNamespaces, unpinNamespace } from '@amphipod/linux';
import type { Subject } from './subjects.ts';

/** The configuration of one plugin, as a test gives it; name and version are filled in where it says none. */
export type Config = Partial<NetConf> & { type: string };

/** What `ip -j` tells of a link, as far as the tests look at it. */
export interface IpLink {
  ifname: string;
  address: string;
  mtu: number;
  operstate: string;
  flags: string[];
  master?: string;
  ifalias?: string;
  promiscuity?: number;
  linkinfo?: { info_kind?: string; info_slave_data?: { hairpin?: boolean; isolated?: boolean } };
  addr_info: { family: string; local: string; prefixlen: number; scope: string; tentative?: boolean }[];
}

export interface IpRoute {
  dst: string;
  gateway?: string;
  dev: string;
}

/** A directory and the namespaces of one test; all of it goes at the end. */
export class World implements Disposable {
  readonly dir: string;
  readonly #pins: string[] = [];

  constructor() {
    this.dir = mkdtempSync(join(tmpdir(), 'cni-test-'));
  }

  get dataDir(): string {
    return join(this.dir, 'ipam');
  }

  /** A new network namespace; gives its path. */
  netns(name: string): string {
    const pin = join(this.dir, name);
    createPinnedNamespaces({ net: pin });
    this.#pins.push(pin);
    return pin;
  }

  /** Names of the addresses that host-local has given out. */
  reservations(network: string): string[] {
    const dir = join(this.dataDir, network);
    if (!existsSync(dir)) return [];
    return readdirSync(dir)
      .filter((name) => !name.startsWith('last_reserved_ip.') && name !== 'lock')
      .sort();
  }

  reservation(network: string, ip: string): string {
    return readFileSync(join(this.dataDir, network, ip), 'utf8');
  }

  makeDir(name: string): string {
    const path = join(this.dir, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  [Symbol.dispose](): void {
    for (const pin of this.#pins) unpinNamespace(pin);
    for (const { ifname } of links()) if (ifname !== 'lo') tryRun('ip', 'link', 'del', ifname);
    tryRun('nft', 'flush', 'ruleset');
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Runs a command in the network namespace of a pod. */
export function inPod(netns: string, ...command: string[]): string {
  return run('nsenter', `--net=${netns}`, ...command);
}

/** Runs `ip` in a pod, with the words of each line. */
export function ipInPod(netns: string, ...lines: string[]): void {
  for (const line of lines) inPod(netns, 'ip', ...line.split(' '));
}

function tryRun(program: string, ...args: string[]): void {
  try {
    run(program, ...args);
  } catch {
    // It went with another one.
  }
}

function ip<T>(netns: string | undefined, ...args: string[]): T[] {
  const command = ['ip', '-j', '-d', ...args];
  const text = netns === undefined ? run(command[0]!, ...command.slice(1)) : inPod(netns, ...command);
  return text.trim() === ''
    ? []
    : (JSON.parse(text) as T[]).filter((item) => Object.keys(item as object).length > 0);
}

/** Links with their addresses, of this namespace or of another one. */
export function links(netns?: string): IpLink[] {
  return ip<IpLink>(netns, 'address', 'show');
}

export function link(name: string, netns?: string): IpLink | undefined {
  return links(netns).find(({ ifname }) => ifname === name);
}

/** Names of all links, sorted: to see that nothing is left. */
export function linkNames(netns?: string): string[] {
  return links(netns)
    .map(({ ifname }) => ifname)
    .sort();
}

/** Names of what is in the pod beside the loopback. */
export function podLinks(netns: string): string[] {
  return linkNames(netns).filter((name) => name !== 'lo');
}

export function routes(netns?: string): IpRoute[] {
  return [...ip<IpRoute>(netns, 'route', 'show'), ...ip<IpRoute>(netns, '-6', 'route', 'show')];
}

/** `10.1.2.3/24`, link-local ones left out. */
export function addresses(name: string, netns?: string): string[] {
  return (link(name, netns)?.addr_info ?? [])
    .filter(({ scope }) => scope === 'global')
    .map(({ local, prefixlen }) => `${local}/${prefixlen}`);
}

export interface Call {
  containerID?: string;
  netns?: string;
  ifName?: string;
  args?: string;
  prevResult?: Result | undefined;
  validAttachments?: AttachmentId[];
}

/** Calls one plugin of a subject directly. */
export function call(
  subject: Subject,
  command: 'ADD' | 'DEL' | 'CHECK' | 'STATUS' | 'GC',
  config: Config,
  { containerID = 'c1', netns = '', ifName = 'eth0', args = '', prevResult, validAttachments }: Call = {},
): Promise<Result> {
  const full = { cniVersion: subject.cniVersion, name: 'testnet', ...config } as NetConf;
  const request = { containerID, netns, ifName, args, config: full, prevResult, validAttachments };
  return subject.invoker.call(config.type, command, request, new AbortController().signal);
}

/** The error that a call ends with. @throws when it succeeds */
export async function failureOf(promise: Promise<unknown>): Promise<CniError> {
  try {
    await promise;
  } catch (error) {
    return error as CniError;
  }
  throw new Error('the call succeeded');
}
