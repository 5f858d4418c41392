import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { isJsonObject, type NetworkConfigList } from '@amphipod/cni';
import { sysctlGet } from '@amphipod/linux';
import { CliError } from '../../errors.ts';
import type { Change } from './compare.ts';
import type { ParentLink, ScratchAnswer, ScratchRequest } from './scratch-request.ts';
import { type Run, readJsonList, readLinks, readNetwork, runIn } from './snapshot.ts';

export interface Explanation extends ScratchAnswer {
  network: string;
  file: string | undefined;
}

/** Keys whose value is the name of a link of the machine. */
const parentKeys = ['master', 'device', 'link'];
/** Plugins that take the link of the default route when none is named. */
const defaultRouteTypes = ['macvlan', 'ipvlan', 'vlan'];
const sharedSysctls = ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding'];
const TIMEOUT_MS = 120_000;

/**
 * Makes an attachment in a scratch copy of the machine's network and tells what it changed there. Of the machine only links,
 * routes, rules and two settings are read. @throws CliError
 */
export function explainNetwork(
  list: NetworkConfigList,
  {
    pluginDirs,
    args,
    capabilityArgs,
    ifName,
  }: Pick<ScratchRequest, 'pluginDirs' | 'args' | 'capabilityArgs' | 'ifName'>,
): Explanation {
  if (process.getuid?.() !== 0) throw new CliError('needs root, for new network and mount namespaces');
  const run = runIn();
  const { parents, defaultRoute } = readParents(run, list);
  const request: ScratchRequest = {
    list: Buffer.from(list.bytes).toString(),
    pluginDirs,
    args,
    capabilityArgs,
    ifName,
    parents,
    defaultRoute,
    sysctls: readSettings(),
  };
  const answer = runScratch(request);
  markExisting(answer.changes, run);
  return { network: list.name, file: list.file, ...answer };
}

function runScratch(request: ScratchRequest): ScratchAnswer {
  const program = fileURLToPath(new URL('./scratch.ts', import.meta.url));
  const namespaces = ['--net', '--mount', '--propagation', 'private', '--'];
  const { status, stdout, stderr, error } = spawnSync(
    'unshare',
    [...namespaces, process.execPath, ...process.execArgv, program],
    { input: JSON.stringify(request), encoding: 'utf8', timeout: TIMEOUT_MS, maxBuffer: 256 << 20 },
  );
  if (error !== undefined) throw new CliError(`start unshare: ${error.message}`, { cause: error });
  if (status !== 0) throw new CliError(`make scratch namespaces: ${stderr.trim()}`);
  return JSON.parse(stdout) as ScratchAnswer;
}

function readSettings(): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const key of sharedSysctls) {
    try {
      settings[key] = sysctlGet(key);
    } catch {
      // A kernel without IPv6.
    }
  }
  return settings;
}

function readParents(run: Run, list: NetworkConfigList): Pick<ScratchRequest, 'parents' | 'defaultRoute'> {
  const [route] = readJsonList<{ dev: string; gateway?: string }>(
    run('ip', '-j', '-4', 'route', 'show', 'default'),
  );
  const names = new Set(namedLinks(list.plugins));
  const hardware = new Set(list.plugins.map(({ hwaddr }) => String(hwaddr).toLowerCase()));
  const needsDefault = list.plugins.some(({ type, master }) => defaultRouteTypes.includes(type) && !master);
  if (needsDefault && route !== undefined) names.add(route.dev);
  const parents: ParentLink[] = readLinks(run)
    .filter(({ ifname, address = '' }) => names.has(ifname) || hardware.has(address))
    .map(({ ifname, mtu, address, link_type, addr_info }) => ({
      name: ifname,
      mtu,
      mac: link_type === 'ether' ? address : undefined,
      addresses: addr_info
        .filter(({ scope }) => scope === 'global')
        .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    }));
  const isThere = route !== undefined && parents.some(({ name }) => name === route.dev);
  const via = route?.gateway;
  return {
    parents,
    defaultRoute: isThere ? { dev: route.dev, ...(via !== undefined && { via }) } : undefined,
  };
}

function namedLinks(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(namedLinks);
  if (!isJsonObject(value)) return [];
  return Object.entries(value).flatMap(([key, item]) =>
    typeof item === 'string' && parentKeys.includes(key) ? [item] : namedLinks(item),
  );
}

/** Notes what the machine has already: a link by its name, anything else as it is. */
function markExisting(changes: Change[], run: Run): void {
  const items = readNetwork(run);
  const links = new Set(items.filter(({ kind }) => kind === 'link').map(({ name }) => name));
  const texts = new Set(items.map(({ kind, text }) => `${kind} ${text}`));
  for (const change of changes) {
    if (change.where !== 'host' || change.change !== 'new') continue;
    const { kind, text } = change;
    if (kind === 'link' ? links.has(text.split(' ')[0]!) : texts.has(`${kind} ${text}`)) change.exists = true;
  }
}
