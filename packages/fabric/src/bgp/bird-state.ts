import type { BirdLine } from './bird-control.ts';

const PROTOCOL = 1002;
const DETAIL = 1006;
const HEAD = /^(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+(?: \d\S*)?)\s*(.*)$/;
const COUNT = /(\d+) (imported|filtered|exported|preferred)/g;

/** A BGP session as BIRD has it. */
export interface SessionState {
  readonly name: string;
  /** `Established`, `Active`, `Connect`, `Idle` … */
  readonly state: string;
  /** Since when, in BIRD's words. */
  readonly since: string;
  readonly routesIn: number;
  /** Of those that came, what our filters left out. */
  readonly routesFiltered: number;
  readonly routesOut: number;
  readonly lastError?: string;
  /** The peer is away, and its routes are kept until it comes back. */
  readonly isRestarting: boolean;
}

/** Reads the BGP sessions out of the answer to `show protocols all`. */
export function parseSessions(lines: readonly BirdLine[]): SessionState[] {
  const sessions: { head: RegExpExecArray; details: string[] }[] = [];
  let isSession = false;
  for (const { code, text } of lines) {
    if (code === PROTOCOL) {
      const head = HEAD.exec(text);
      isSession = head?.[2] === 'BGP';
      if (head !== null && isSession) sessions.push({ head, details: [] });
    } else if (code === DETAIL && isSession) {
      sessions.at(-1)!.details.push(text.trim());
    }
  }
  return sessions.map(({ head, details }) => readSession(head, details));
}

function readSession([, name, , , , since]: RegExpExecArray, details: readonly string[]): SessionState {
  const value = (key: string) =>
    details
      .find((line) => line.startsWith(`${key}:`))
      ?.slice(key.length + 1)
      .trim();
  const counts = new Map(
    [...(value('Routes') ?? '').matchAll(COUNT)].map(([, count, what]) => [what, Number(count)]),
  );
  const lastError = value('Last error');
  return {
    name: name!,
    state: value('BGP state') ?? 'Down',
    since: since!,
    routesIn: counts.get('imported') ?? 0,
    routesFiltered: counts.get('filtered') ?? 0,
    routesOut: counts.get('exported') ?? 0,
    ...(lastError !== undefined && { lastError }),
    isRestarting: details.some(
      (line) => line.startsWith('Neighbor graceful restart active') || line.startsWith('LL stale timer'),
    ),
  };
}

const ROUTE = 1007;
const TYPE = 1008;
const ATTRIBUTE = 1012;
const NETWORK = /^(\S+)?\s+(unicast|blackhole|unreachable|prohibited)\s+\[(\S+) ([^\]]+?)\] (\*)?/;
const GATEWAY = /^\s*via (\S+) on (\S+)|^\s*dev (\S+)/;

/** A route of BIRD's table. */
export interface BirdRoute {
  readonly network: string;
  /** Name of the protocol that it comes from. */
  readonly protocol: string;
  /** The best one to this network. */
  readonly isBest: boolean;
  readonly type: string;
  /** Ways, of which there can be several. */
  readonly hops: readonly { readonly gateway?: string; readonly interfaceName: string }[];
  /** `static`, `BGP`, `inherit` … */
  readonly source: string;
  /** `BGP.local_pref` and so on, as BIRD writes them. */
  readonly attributes: Readonly<Record<string, string>>;
}

type Draft = { -readonly [K in keyof BirdRoute]: BirdRoute[K] } & {
  hops: BirdRoute['hops'][number][];
  attributes: Record<string, string>;
};

/** Reads the answer to `show route … all`. */
export function parseRoutes(lines: readonly BirdLine[]): BirdRoute[] {
  const routes: Draft[] = [];
  for (const { code, text } of lines) {
    const last = routes.at(-1);
    if (code === ROUTE) readRouteLine(text, routes);
    else if (code === TYPE && last !== undefined) last.source = text.trim().split(' ')[1] ?? '';
    else if (code === ATTRIBUTE && last !== undefined) {
      const [key, value] = text.trim().split(/: ?(.*)/s);
      if (key) last.attributes[key] = value ?? '';
    }
  }
  return routes;
}

function readRouteLine(text: string, routes: Draft[]): void {
  const head = NETWORK.exec(text);
  if (head !== null) {
    const [, network = routes.at(-1)?.network ?? '', type, protocol, , star] = head;
    const rest = { hops: [], source: '', attributes: {} };
    routes.push({ network, type: type!, protocol: protocol!, isBest: star === '*', ...rest });
    return;
  }
  const [, gateway, via, dev] = GATEWAY.exec(text) ?? [];
  const interfaceName = via ?? dev;
  if (interfaceName === undefined) return;
  routes.at(-1)?.hops.push({ ...(gateway !== undefined && { gateway }), interfaceName });
}
