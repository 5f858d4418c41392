import type { Writable } from 'node:stream';
import {
  askBird,
  type BgpFacts,
  type BirdRoute,
  type Export,
  explainExport,
  parseRoutes,
  parseSessions,
  readFacts,
  type SessionState,
  secretsIn,
  type WantedBird,
  wantedBird,
} from '@amphipod/fabric';
import { cidrOf, formatCidr, formatIp, networkOf, tryParseCidr, tryParseIp } from '@amphipod/netlink';
import { defineCommand } from '../command.ts';
import { CliError, UsageError } from '../errors.ts';
import { outputFormat, printJson, printTable } from '../output.ts';
import { datastoreOptions, withDatastore } from './datastore-options.ts';
import { nodeOptions, nodePlaces } from './node-options.ts';

export const command = defineCommand({
  name: 'net bgp',
  summary: 'Show peers of this node, or what becomes of a prefix',
  operands: '[PREFIX|ADDRESS]',
  arity: [0, 1],
  isLocal: true,
  options: {
    output: { type: 'string', short: 'o', value: 'FORMAT', help: 'table (default) or json' },
    ...nodeOptions,
    ...datastoreOptions,
  },
  details: `Without a prefix: the peers, their state, how many routes came and went, and the last error. With one: the routes that BIRD has for it, and for
each peer whether it is told, and why. Resources that cannot be followed are told of below.

Examples:
  amphipod net bgp
  amphipod net bgp 10.0.1.0/26`,
  async run([subject], { output, ...values }, { env, stdout }) {
    const format = outputFormat(output);
    const network = subject === undefined ? undefined : networkOfText(subject);
    const { nodeName, socketPath, secretsDir } = nodePlaces(values);
    return await withDatastore(values, env, async (store) => {
      const facts = await readFacts(store, { nodeName, password: secretsIn(secretsDir) });
      const wanted = wantedOf(facts);
      if (network === undefined) {
        const sessions = parseSessions(await askBird('show protocols all', { socketPath }));
        showPeers(stdout, { wanted, sessions, isJson: format === 'json' });
        return 0;
      }
      const routes = parseRoutes(
        await askBird(`show route for ${network} all`, { socketPath }).catch(noneFound),
      );
      const exports = explainExport(wanted, routes);
      if (format === 'json') printJson(stdout, { routes, exports });
      else showPrefix(stdout, { network, routes, exports });
      return routes.length === 0 ? 1 : 0;
    });
  },
});

function networkOfText(text: string): string {
  const ip = tryParseIp(text);
  const cidr = ip === undefined ? tryParseCidr(text) : cidrOf(ip);
  if (cidr === undefined) throw new UsageError(`"${text}" is neither a prefix nor an address`);
  return ip === undefined ? formatCidr(networkOf(cidr)) : formatIp(ip);
}

function wantedOf(facts: BgpFacts): WantedBird {
  const wanted = wantedBird(facts);
  if (wanted !== undefined) return wanted;
  throw new CliError(
    `node "${facts.nodeName}" has no address for BGP in the datastore (spec.bgp of its Node)`,
  );
}

/** BIRD says so of a network that it does not have. */
function noneFound(error: unknown): [] {
  if ((error as Error).message.includes('Network not found')) return [];
  throw error;
}

interface Peers {
  wanted: WantedBird;
  sessions: readonly SessionState[];
  isJson: boolean;
}

function showPeers(stdout: Writable, { wanted, sessions, isJson }: Peers): void {
  const states = new Map(sessions.map((one) => [one.name, one]));
  const peers = wanted.sessions.map(({ bgp, candidate }) => ({
    name: bgp.name,
    peer: formatIp(bgp.neighbor),
    node: candidate.node?.name,
    asNumber: bgp.neighborAs,
    from: candidate.from,
    ...(states.get(bgp.name) ?? { state: 'not in BIRD yet' }),
  }));
  const stale = sessions.filter(({ name }) => !wanted.sessions.some(({ bgp }) => bgp.name === name));
  if (isJson) {
    printJson(stdout, { peers, problems: wanted.problems, stale });
    return;
  }
  printTable(
    stdout,
    ['PEER', 'NODE', 'AS', 'STATE', 'SINCE', 'IN', 'OUT', 'LAST ERROR'],
    peers.map((peer) => {
      const state = 'isRestarting' in peer && peer.isRestarting ? `${peer.state}, restarting` : peer.state;
      const [since, routesIn, routesOut] =
        'since' in peer ? [peer.since, peer.routesIn, peer.routesOut] : ['', '', ''];
      const lastError = 'lastError' in peer ? (peer.lastError ?? '') : '';
      return [
        peer.peer,
        peer.node ?? '',
        `${peer.asNumber}`,
        state,
        since,
        `${routesIn}`,
        `${routesOut}`,
        lastError,
      ];
    }),
  );
  for (const { name } of stale) stdout.write(`\nBIRD has the peer ${name}, which is not wanted any more\n`);
  for (const { subject, why } of wanted.problems) stdout.write(`\n${subject}: ${why}\n`);
}

interface Prefix {
  network: string;
  routes: readonly BirdRoute[];
  exports: readonly Export[];
}

function showPrefix(stdout: Writable, { network, routes, exports }: Prefix): void {
  if (routes.length === 0) {
    stdout.write(`BIRD has no route for ${network}\n`);
    return;
  }
  printTable(
    stdout,
    ['ROUTE', 'FROM', 'BEST', 'WAY', 'AS PATH', 'PREFERENCE'],
    routes.map(({ network: found, protocol, isBest, type, hops, attributes }) => [
      found,
      protocol,
      isBest ? 'yes' : 'no',
      type === 'unicast'
        ? hops
            .map(
              ({ gateway, interfaceName }) =>
                `${gateway === undefined ? '' : `via ${gateway} `}dev ${interfaceName}`,
            )
            .join(' or ')
        : type,
      attributes['BGP.as_path'] ?? '',
      attributes['BGP.local_pref'] ?? '',
    ]),
  );
  stdout.write('\n');
  printTable(
    stdout,
    ['PEER', 'TOLD', 'WHY'],
    exports.map(({ session, isTold, why }) => [session, isTold ? 'yes' : 'no', why]),
  );
}
