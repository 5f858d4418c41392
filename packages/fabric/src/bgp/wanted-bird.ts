import { createHash } from 'node:crypto';
import { type Cidr, cidrOf, type IpAddress, type IpFamily, parseIp } from '@amphipod/netlink';
import { addressOf, type BgpFacts, type NodeBgp, nodeBgp, normalPriority, settingsOf } from './bgp-facts.ts';
import type { BirdConfig, BirdFilter, BirdProtocol, BirdStatement, BirdStaticRoute } from './bird-config.ts';
import {
  commonFunctions,
  exportFunctionName,
  kernelFilters,
  priorityFunctionName,
} from './common-filters.ts';
import { filterFunctionName, filterFunctions, hasRules } from './filter-functions.ts';
import { localPrefOf } from './local-pref.ts';
import { ownBlocks, serviceNetworks } from './node-networks.ts';
import { type Problem, type WantedSession, wantedSessions } from './wanted-sessions.ts';

/** Peers that are not there by then do not hold up the others (BGP-02). */
const RESTART_WAIT_SECONDS = 4;
/** Somebody else's changes of the kernel are seen at once; this is for those that were missed. */
const SCAN_SECONDS = 2;
/** What comes from these has a preference above all other routes to the same network. */
const PREFERENCE_OF_PREFERRED = 200;

const LOG_LEVELS = ['debug', 'trace', 'info', 'remote', 'warning', 'error', 'auth', 'fatal', 'bug'];
const LOG_FROM: Record<string, string> = {
  trace: 'debug',
  debug: 'debug',
  info: 'info',
  warning: 'warning',
  error: 'error',
  fatal: 'fatal',
};

/** What BIRD is to do on a node. */
export interface WantedBird {
  readonly config: BirdConfig;
  readonly sessions: readonly WantedSession[];
  readonly problems: readonly Problem[];
}

/** The configuration of this node's BIRD; undefined while the node has no address for BGP. */
export function wantedBird(facts: BgpFacts): WantedBird | undefined {
  const resource = facts.nodes.find(({ metadata }) => metadata.name === facts.nodeName);
  const own = resource && nodeBgp(facts, resource);
  if (own === undefined || (own.ipv4 === undefined && own.ipv6 === undefined)) return undefined;
  const { sessions, problems } = wantedSessions(facts, own);
  const settings = settingsOf(facts, own.name);
  const names = new Set(facts.filters.map(({ metadata }) => metadata.name));
  const missing = sessions.flatMap(({ candidate }) =>
    candidate.filters.flatMap((name) =>
      names.has(name)
        ? []
        : { subject: candidate.from, why: `there is no BGPFilter ${JSON.stringify(name)}` },
    ),
  );
  const families = ([4, 6] as const).filter((family) => addressOf(own, family) !== undefined);
  const protocols: BirdProtocol[] = [
    { type: 'device', name: 'devices', scanSeconds: SCAN_SECONDS },
    {
      type: 'direct',
      name: 'addresses',
      interfaces: [
        ...['cali*', 'kube-ipvs*', ...(settings.ignoredInterfaces ?? [])].map((one) => `-${one}`),
        '*',
      ],
    },
    ...families.flatMap((family) => familyProtocols(facts, own, { family, sessions })),
    ...sessions.map(({ bgp }) => bgp),
  ];
  return {
    config: {
      routerId: routerIdOf(own),
      logLevels: logLevels(settings.logSeverityScreen),
      gracefulRestartWaitSeconds: RESTART_WAIT_SECONDS,
      functions: [
        ...facts.filters.flatMap(filterFunctions),
        ...families.flatMap((family) => commonFunctions(facts, own, family)),
      ],
      filters: [
        ...families.flatMap((family) => kernelFilters(facts, own, family)),
        ...sessions.flatMap((session) => sessionFilters(facts, own, session)),
      ],
      protocols,
    },
    sessions,
    problems: [...problems, ...missing],
  };
}

interface InFamily {
  family: IpFamily;
  sessions: readonly WantedSession[];
}

function familyProtocols(facts: BgpFacts, own: NodeBgp, { family, sessions }: InFamily): BirdProtocol[] {
  const routes = staticRoutes(facts, own, { family, sessions });
  return [
    {
      type: 'kernel',
      name: `kernel${family}`,
      family,
      scanSeconds: SCAN_SECONDS,
      importFilter: `from_kernel${family}`,
      exportFilter: `to_kernel${family}`,
    },
    { type: 'static', name: `static${family}`, family, routes },
  ];
}

function staticRoutes(facts: BgpFacts, own: NodeBgp, { family, sessions }: InFamily): BirdStaticRoute[] {
  const networks = [...ownBlocks(facts, own.name, family), ...serviceNetworks(facts, own, family)];
  const gateways = sessions.flatMap(({ bgp, candidate: { reachableBy } }) =>
    bgp.family !== family || reachableBy === undefined
      ? []
      : { network: cidrOf(bgp.neighbor), via: parseIp(reachableBy) },
  );
  const seen = new Set<string>();
  return [...networks.map((network) => ({ network })), ...gateways]
    .sort((a, b) => compareCidr(a.network, b.network))
    .filter(({ network }) => {
      const key = `${network.ip.value}/${network.prefix}`;
      return seen.has(key) ? false : seen.add(key);
    });
}

function compareCidr(a: Cidr, b: Cidr): number {
  return a.ip.value < b.ip.value ? -1 : a.ip.value > b.ip.value ? 1 : a.prefix - b.prefix;
}

function sessionFilters(
  facts: BgpFacts,
  own: NodeBgp,
  { bgp, candidate, sameAs }: WantedSession,
): BirdFilter[] {
  const { family } = bgp;
  const filters = candidate.filters.flatMap(
    (name) => facts.filters.find(({ metadata }) => metadata.name === name) ?? [],
  );
  const calls = (direction: 'import' | 'export'): BirdStatement[] =>
    filters.flatMap((filter) =>
      hasRules(filter, direction, family)
        ? { do: 'call', name: filterFunctionName(filter.metadata.name, direction, family), sameAs }
        : [],
    );
  const preferred = localPrefOf(normalPriority(settingsOf(facts, own.name), family));
  return [
    {
      name: bgp.importFilter,
      body: [
        ...calls('import'),
        {
          do: 'if',
          condition: { is: 'local-pref-above', value: preferred },
          body: [{ do: 'set-preference', value: PREFERENCE_OF_PREFERRED }],
        },
        { do: 'accept', why: 'everything is taken that no filter speaks of' },
      ],
    },
    {
      name: bgp.exportFilter,
      body: [
        { do: 'call', name: priorityFunctionName(family) },
        ...calls('export'),
        { do: 'call', name: exportFunctionName(family), sameAs },
        { do: 'reject', why: 'it is in no pool, and no service range' },
      ],
    },
  ];
}

/** The IPv4 address; without one a number that the name gives. */
function routerIdOf({ name, ipv4 }: NodeBgp): IpAddress {
  if (ipv4 !== undefined) return ipv4.ip;
  const value = createHash('sha256').update(name).digest().readUInt32BE();
  return { family: 4, value: BigInt(value || 1) };
}

function logLevels(severity = 'info'): string[] {
  return LOG_LEVELS.slice(LOG_LEVELS.indexOf(LOG_FROM[severity.toLowerCase()]!));
}
