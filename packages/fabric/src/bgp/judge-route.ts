import { type Cidr, contains, formatCidr, networkOf } from '@amphipod/netlink';
import type { BirdCondition, BirdConfig, BirdStatement } from './bird-config.ts';
import { localPrefOf } from './local-pref.ts';

/** A route as filters see it. */
export interface JudgedRoute {
  readonly network: Cidr;
  readonly source: 'bgp' | 'static' | 'other';
  readonly isUnicast: boolean;
  readonly interfaceName?: string;
  readonly communities: readonly string[];
  readonly asPath: readonly number[];
  readonly localPref?: number;
  readonly metric?: number;
  /** `proto` of a route that was learned from the kernel. */
  readonly kernelProtocol?: number;
  readonly preference?: number;
}

/** What a filter makes of a route, and the reason; `route` is what it is then. */
export interface Verdict {
  readonly accepted: boolean;
  readonly why: string;
  readonly route: JudgedRoute;
}

/** Does what BIRD does with a filter and a route, and tells what decided. */
export function judgeRoute(config: BirdConfig, filterName: string, route: JudgedRoute): Verdict {
  const filter = config.filters.find(({ name }) => name === filterName);
  if (filter === undefined) throw new RangeError(`judge route: there is no filter "${filterName}"`);
  const judge = new Judge(config, route);
  const end = judge.run(filter.body, false);
  const fallback = { do: 'reject', why: 'the filter ends without a verdict' } as const;
  const { do: verdict, why } = end ?? fallback;
  return { accepted: verdict === 'accept', why, route: judge.route };
}

type End = Extract<BirdStatement, { do: 'accept' | 'reject' }>;

class Judge {
  route: JudgedRoute;
  readonly #config: BirdConfig;

  constructor(config: BirdConfig, route: JudgedRoute) {
    this.#config = config;
    this.route = route;
  }

  /** @returns the statement that ended it */
  run(body: readonly BirdStatement[], sameAs: boolean): End | undefined {
    for (const statement of body) {
      const end = this.#step(statement, sameAs);
      if (end !== undefined) return end;
    }
    return undefined;
  }

  #step(statement: BirdStatement, sameAs: boolean): End | undefined {
    const { route } = this;
    switch (statement.do) {
      case 'accept':
      case 'reject':
        return statement;
      case 'if':
        return holds(statement.condition, route, sameAs) ? this.run(statement.body, sameAs) : undefined;
      case 'call': {
        const called = this.#config.functions.find(({ name }) => name === statement.name);
        return called && this.run(called.body, statement.sameAs ?? false);
      }
      case 'set-local-pref':
        return this.#set({ localPref: statement.value });
      case 'set-metric':
        return this.#set({ metric: statement.value });
      case 'set-preference':
        return this.#set({ preference: statement.value });
      case 'metric-from-local-pref':
        return this.#set({ metric: localPrefOf(route.localPref!) });
      case 'local-pref-from-metric':
        return this.#set({ localPref: localPrefOf(route.metric!) });
      case 'add-community':
        return this.#set({ communities: [...new Set([...route.communities, statement.community])] });
      case 'prepend-as':
        return this.#set({ asPath: [statement.asNumber, ...route.asPath] });
    }
  }

  #set(change: Partial<JudgedRoute>): undefined {
    this.route = { ...this.route, ...change };
  }
}

function holds(condition: BirdCondition, route: JudgedRoute, sameAs: boolean): boolean {
  switch (condition.is) {
    case 'always':
      return true;
    case 'never':
      return false;
    case 'same-as':
      return sameAs;
    case 'all':
      return condition.of.every((one) => holds(one, route, sameAs));
    case 'not':
      return !holds(condition.of, route, sameAs);
    case 'network':
      return formatCidr(networkOf(condition.network)) === formatCidr(route.network);
    case 'within': {
      const { network, min = 0, max = route.network.prefix } = condition;
      const { prefix } = route.network;
      return contains(network, route.network) && prefix >= min && prefix <= max;
    }
    case 'source':
      return route.source === condition.source;
    case 'unicast':
      return route.isUnicast;
    case 'interface':
      // For BIRD a route without an interface has one with an empty name.
      return patternOf(condition.pattern).test(route.interfaceName ?? '');
    case 'community':
      return route.communities.includes(condition.community);
    case 'as-path-prefix':
      return condition.path.every((asNumber, i) => route.asPath[i] === asNumber);
    case 'local-pref':
      return route.localPref === condition.value;
    case 'local-pref-above':
      return route.localPref !== undefined && route.localPref > condition.value;
    case 'kernel-protocol':
      return route.kernelProtocol === condition.value;
    case 'metric':
      return (route.metric ?? 0) > 0;
    case 'metric-below':
      return route.metric !== undefined && route.metric < condition.value;
  }
}

function patternOf(pattern: string): RegExp {
  return new RegExp(`^${pattern.split('*').map(RegExp.escape).join('.*')}$`);
}
