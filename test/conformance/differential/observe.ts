import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseJson, stringifyJson } from '@amphipod/cni';
import { inNetns } from '@amphipod/linux';
import { run, type World } from '../lib/world.ts';
import type { Part } from './case.ts';
import { groupIptables, groupNft } from './packet-filters.ts';

export type Observation = Record<Exclude<Part, 'result' | 'cache' | 'check'>, unknown>;

type Json = Record<string, unknown>;

/** Fields of `ip`, `tc` and `bridge` that differ from run to run or say nothing about a configuration. */
const VOLATILE =
  /^(ifindex|link_index|link_netnsid|link-netnsid|valid_life_time|preferred_life_time|ifalias|min_mtu|max_mtu|num_.*queues|gso_.*|gro_.*|tso_.*|inet6_addr_gen_mode|.*timer.*|.*_id|designated_.*|root_.*|parentbus|parentdev|bcqlen|allmulti|stats.*|bytes|packets|drops|overlimits|requeues|backlog|qlen|lastuse|used|expires|refcnt|confirmed|updated|probes|install_?time|handle|installed|last_used|first_used|index|bind|ref|operstate|tentative|optimistic)$/;
/** Flags that follow the carrier, some time after the call. */
const VOLATILE_FLAGS = new Set(['NO-CARRIER', 'LOWER_UP', 'RUNNING', 'linkdown', 'dadfailed']);

/** The state that plugins may change, of the host's namespace and of the pod's. */
export function observe(world: World, netns: string): Observation {
  const host = readNamespace();
  const pod = readNamespace(netns);
  const parts = Object.keys(host) as (keyof typeof host)[];
  return {
    ...(Object.fromEntries(parts.map((part) => [part, { host: host[part], pod: pod[part] }])) as Observation),
    bridgeVlans: json(undefined, 'bridge', 'vlan', 'show'),
    sysctls: { host: readSysctls(), pod: inPod(netns, readSysctls) },
    files: readFiles(world),
  };
}

/** htb shows one among its options: packets that came before there was a class. */
function withoutCounters(qdisc: Record<string, unknown>): Record<string, unknown> {
  const { direct_packets_stat: _, ...options } = (qdisc.options ?? {}) as Record<string, unknown>;
  return { ...qdisc, ...(qdisc.options !== undefined && { options }) };
}

/** As few programs as possible: there are many cases. */
function readNamespace(netns?: string) {
  const [links = [], routes = [], rules4 = [], neighbours = []] = batch(
    netns,
    ['ip', '-d'],
    ['address show', 'route show table all', 'rule show', 'neigh show nud permanent'],
  );
  const [rules6 = []] = batch(netns, ['ip', '-6', '-d'], ['rule show']);
  const names = links.flatMap(({ ifname }) => (ifname === undefined ? [] : [String(ifname)])).sort();
  const [qdiscs = [], ...filters] = batch(
    netns,
    ['tc', '-d'],
    [
      'qdisc show',
      ...names.flatMap((name) => [`filter show dev ${name}`, `filter show dev ${name} ingress`]),
    ],
  );
  return {
    links: describeLinks(links),
    routes: routes.filter(isSetRoute),
    rules: [...rules4, ...rules6],
    neighbours,
    qdiscs: qdiscs.filter(({ kind }) => kind !== 'noqueue' && kind !== 'pfifo_fast').map(withoutCounters),
    filters: names.flatMap((name, i) => {
      const found = [...(filters[2 * i] ?? []), ...(filters[2 * i + 1] ?? [])];
      return found.length > 0 ? [{ name, found }] : [];
    }),
    nft: readNft(netns),
    iptables: {
      4: groupIptables(command(netns, 'iptables-save')),
      6: groupIptables(command(netns, 'ip6tables-save')),
    },
  };
}

/** Takes out what differs from run to run in any part: hardware addresses, random names, paths. */
export function mask(value: unknown, world: World): unknown {
  const text = stringifyJson(value)
    .replaceAll(/([0-9a-f]{2}:){5}[0-9a-f]{2}/g, 'MAC')
    .replaceAll(/veth[0-9a-f]{8}/g, 'VETH')
    .replaceAll(/mac[0-9a-f]{8}|tap[0-9a-f]{8}/g, 'TEMPORARY')
    .replaceAll(world.dir, 'DIR')
    .replaceAll(/,?"dns":\{\}/g, '');
  return parseJson(text);
}

function enter(netns: string | undefined): string[] {
  return netns === undefined ? [] : ['nsenter', `--net=${netns}`];
}

function command(netns: string | undefined, ...words: string[]): string {
  const all = [...enter(netns), ...words];
  return run(all[0]!, ...all.slice(1));
}

function json(netns: string | undefined, program: string, ...args: string[]): Json[] {
  return parseLine(command(netns, program, '-j', ...args));
}

/** Several commands of `ip` or `tc` in one process; each answers with a line. */
function batch(netns: string | undefined, program: string[], commands: string[]): Json[][] {
  const words = [...enter(netns), ...program, '-j', '-force', '-batch', '-'];
  const input = `${commands.join('\n')}\n`;
  const text = execFileSync(words[0]!, words.slice(1), {
    encoding: 'utf8',
    input,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  return text.split('\n').map(parseLine);
}

function parseLine(text: string): Json[] {
  return text.trim() === '' ? [] : (withoutVolatile(JSON.parse(text)) as Json[]);
}

function withoutVolatile(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value
      .filter((item) => !VOLATILE_FLAGS.has(item))
      .map(withoutVolatile)
      .filter((item) => typeof item !== 'object' || Object.keys(item ?? {}).length > 0);
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !VOLATILE.test(key))
      .map(([key, inner]) => [key, withoutVolatile(inner)]),
  );
}

function describeLinks(links: Json[]): unknown {
  return links
    .filter(({ ifname }) => ifname !== undefined)
    .map(({ addr_info, ...link }) => ({
      ...link,
      // Link-local addresses follow from hardware addresses and time.
      addresses: (addr_info as Json[])
        .filter(({ scope }) => scope !== 'link')
        .map(({ label, ...info }) => info),
    }))
    .sort((a, b) => nameOf(a).localeCompare(nameOf(b)));
}

function nameOf(link: object): string {
  return String((link as Json).ifname).replace(/veth[0-9a-f]{8}/, 'veth');
}

/** The kernel's own, of local, link-local and multicast addresses, come and go with carrier and duplicate detection. */
function isSetRoute({ dst, table }: Json): boolean {
  return table !== 'local' && !/^(fe80:|ff00:|multicast ff00)/.test(String(dst));
}

function readNft(netns?: string): unknown {
  const { nftables } = JSON.parse(command(netns, 'nft', '-j', 'list', 'ruleset')) as { nftables: Json[] };
  return groupNft(withoutVolatile(nftables.filter((item) => !('metainfo' in item))) as Json[]);
}

function inPod<T>(netns: string, read: () => T): T {
  const fd = openSync(netns, 'r');
  try {
    return inNetns(fd, read as Parameters<typeof inNetns<T>>[1]);
  } finally {
    closeSync(fd);
  }
}

const SYSCTL_DIRS = ['net/ipv4/conf', 'net/ipv6/conf'];
const SYSCTLS = ['net/ipv4/ip_forward', 'net/core/somaxconn'];
/** Random, or a counter. */
const NO_SETTING = /stable_secret|\/mc_forwarding$/;

/** Values by key: what is the same for every interface of a new namespace is left in, so that a change shows. */
export function readSysctls(): Record<string, string> {
  const keys = [...SYSCTLS];
  for (const dir of SYSCTL_DIRS) {
    for (const name of readdirSync(join('/proc/sys', dir))) {
      for (const setting of readdirSync(join('/proc/sys', dir, name))) keys.push(`${dir}/${name}/${setting}`);
    }
  }
  const values = keys
    .filter((name) => !NO_SETTING.test(name))
    .map((name): [string, string] => [name, readSysctl(name)]);
  return Object.fromEntries(values.sort(([a], [b]) => a.localeCompare(b)));
}

function readSysctl(name: string): string {
  try {
    return readFileSync(join('/proc/sys', name), 'latin1').trim();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unreadable';
  }
}

/** State files: everything below the case's directory and /run/cni, by path. */
function readFiles({ dir }: World): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const root of [join(dir, 'ipam'), join(dir, 'state'), '/run/cni']) {
    if (!existsSync(root)) continue;
    for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const mode = (statSync(path).mode & 0o777).toString(8);
      found[path] = { mode, text: readFileSync(path, 'latin1') };
    }
  }
  return found;
}
