import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

export type ItemKind = 'link' | 'address' | 'route' | 'rule' | 'tc' | 'nft' | 'sysctl' | 'file';

/** One thing in a namespace or below a directory, as a line that says all that matters. */
export interface Item {
  kind: ItemKind;
  /** What it is, whatever its properties: a link's name, a setting's key. */
  name: string;
  text: string;
}

/** A link as `ip -j -d address show` prints it. */
export interface IpLink {
  ifname: string;
  link_type: string;
  address?: string;
  mtu: number;
  master?: string;
  ifalias?: string;
  flags: string[];
  linkinfo?: { info_kind?: string };
  addr_info: { local: string; prefixlen: number; scope: string }[];
}

/** Runs a program in this process's namespaces, or in the network namespace of a path; undefined when it is not installed. */
export type Run = (program: string, ...args: string[]) => string | undefined;

export function runIn(netns?: string): Run {
  return (program, ...args) => {
    const argv = netns === undefined ? [program, ...args] : ['nsenter', `--net=${netns}`, program, ...args];
    const { status, stdout, error } = spawnSync(argv[0]!, argv.slice(1), {
      encoding: 'utf8',
      maxBuffer: 64 << 20,
      env: { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` },
    });
    return error !== undefined || status !== 0 ? undefined : stdout;
  };
}

/** Everything of a network namespace that plugins change. */
export function readNetwork(run: Run): Item[] {
  const links = readLinks(run);
  return [
    ...links.map(describeLink),
    ...links.flatMap(({ ifname, addr_info }) =>
      addr_info.map(({ local, prefixlen }) => plain('address', `${local}/${prefixlen} on ${ifname}`)),
    ),
    ...routesOf(run),
    ...linesOf(run('ip', 'rule', 'show')).map((line) => plain('rule', line)),
    ...linesOf(run('ip', '-6', 'rule', 'show')).map((line) => plain('rule', `ipv6 ${line}`)),
    ...linesOf(run('tc', 'qdisc', 'show'))
      .filter((line) => !/ (noqueue|noop|mq|pfifo_fast|fq_codel) .*refcnt/.test(line))
      .map((line) => plain('tc', line.replace(/^qdisc /, ''))),
    ...nftItems(run('nft', 'list', 'ruleset') ?? ''),
  ];
}

function describeLink({ ifname, address, mtu, master, ifalias, flags, linkinfo, link_type }: IpLink): Item {
  const words = [
    ifname,
    linkinfo?.info_kind ?? link_type,
    flags.includes('UP') ? 'up' : 'down',
    `mtu ${mtu}`,
    ...(address === undefined ? [] : [address]),
    ...(master === undefined ? [] : [`port of ${master}`]),
    ...(ifalias === undefined ? [] : [`"${ifalias}"`]),
  ];
  return { kind: 'link', name: ifname, text: words.join(' ') };
}

function routesOf(run: Run): Item[] {
  return [
    ...linesOf(run('ip', '-4', 'route', 'show', 'table', 'all')),
    ...linesOf(run('ip', '-6', 'route', 'show', 'table', 'all')),
  ]
    .filter((line) => !/^(local|broadcast|multicast|anycast|ff00::)/.test(line))
    .map((line) => plain('route', line.replace(/ (proto kernel|linkdown|pref medium|metric 256)/g, '')));
}

/** Every line of a ruleset with the table and chain around it in front. */
function nftItems(ruleset: string): Item[] {
  const around: string[] = [];
  const items: Item[] = [];
  for (const raw of ruleset.split('\n')) {
    const line = raw.trim();
    if (line === '') continue;
    if (line === '}') around.pop();
    else if (line.endsWith('{')) {
      around.push(line.slice(0, -1).trim());
      items.push(plain('nft', around.join(', ')));
    } else items.push(plain('nft', `${around.join(', ')}: ${line}`));
  }
  return items;
}

/** The settings below /proc/sys/net of the namespace that the thread is in. */
export function readSysctls(): Map<string, string> {
  const settings = new Map<string, string>();
  const visit = (dir: string, key: string) => {
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      const path = join(dir, entry.name);
      // Names of links may have dots.
      const name = `${key}.${entry.name.replaceAll('.', '/')}`;
      if (entry.isDirectory()) visit(path, name);
      else {
        try {
          settings.set(name, readFileSync(path, 'utf8').trim().replaceAll(/\s+/g, ' '));
        } catch {
          // Some can only be written.
        }
      }
    }
  };
  visit('/proc/sys/net', 'net');
  return settings;
}

/** The files below a directory, under the name that they have outside. */
export function readFiles(dir: string, shownAs: string): Item[] {
  const names =
    statSync(dir, { throwIfNoEntry: false }) === undefined ? [] : readdirSync(dir, { recursive: true });
  return names
    .filter((name) => statSync(join(dir, String(name))).isFile())
    .map((name) => ({ kind: 'file', name: join(shownAs, String(name)), text: join(shownAs, String(name)) }));
}

function plain(kind: ItemKind, text: string): Item {
  return { kind, name: text, text };
}

function linesOf(text: string | undefined): string[] {
  return (text ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

export function readLinks(run: Run): IpLink[] {
  return readJsonList<IpLink>(run('ip', '-j', '-d', 'address', 'show'));
}

/** What `ip -j` prints: nothing where there is nothing, and empty objects for what it leaves out. */
export function readJsonList<T>(text: string | undefined): T[] {
  if (text === undefined || text.trim() === '') return [];
  return (JSON.parse(text) as T[]).filter((value) => Object.keys(value as object).length > 0);
}
