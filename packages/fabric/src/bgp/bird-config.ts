import type { Cidr, IpAddress, IpFamily } from '@amphipod/netlink';

/** A BIRD 2 configuration as a value; {@link renderBird} writes it out. */
export interface BirdConfig {
  readonly routerId: IpAddress;
  /** Begun anew at 1 MiB, with the one before kept beside it; without one the log goes to stderr. */
  readonly logFile?: string;
  /** Which messages go to the log, in BIRD's words. */
  readonly logLevels: readonly string[];
  /** How long BIRD waits for its peers after a graceful restart. */
  readonly gracefulRestartWaitSeconds: number;
  readonly functions: readonly BirdFunction[];
  readonly filters: readonly BirdFilter[];
  readonly protocols: readonly BirdProtocol[];
}

/** A function of the filter language. It may end the filter that called it by accepting or rejecting the route. */
export interface BirdFunction {
  readonly name: string;
  /** Has a parameter `same_as`: whether the peer is of our own AS. */
  readonly knowsPeer: boolean;
  readonly body: readonly BirdStatement[];
}

export interface BirdFilter {
  readonly name: string;
  readonly body: readonly BirdStatement[];
}

export type BirdStatement =
  /** Ends the filter. @see {@link judgeRoute}, which tells `why` */
  | { readonly do: 'accept' | 'reject'; readonly why: string }
  | { readonly do: 'if'; readonly condition: BirdCondition; readonly body: readonly BirdStatement[] }
  /** Calls a function; `sameAs` for one that knows the peer. */
  | { readonly do: 'call'; readonly name: string; readonly sameAs?: boolean }
  | { readonly do: 'set-local-pref' | 'set-metric' | 'set-preference'; readonly value: number }
  /** As {@link localPrefOf} has it. */
  | { readonly do: 'metric-from-local-pref' | 'local-pref-from-metric' }
  /** `aa:nn` or `aa:nn:mm` */
  | { readonly do: 'add-community'; readonly community: string }
  | { readonly do: 'prepend-as'; readonly asNumber: number };

export type BirdCondition =
  | { readonly is: 'always' | 'never' | 'same-as' }
  | { readonly is: 'all'; readonly of: readonly BirdCondition[] }
  | { readonly is: 'not'; readonly of: BirdCondition }
  /** The route's network is this one. */
  | { readonly is: 'network'; readonly network: Cidr }
  /** It lies within, with a prefix length of these. */
  | { readonly is: 'within'; readonly network: Cidr; readonly min?: number; readonly max?: number }
  | { readonly is: 'source'; readonly source: 'bgp' | 'static' }
  /** The route leads somewhere: it is no blackhole. */
  | { readonly is: 'unicast' }
  /** With `*` for any characters. */
  | { readonly is: 'interface'; readonly pattern: string }
  | { readonly is: 'community'; readonly community: string }
  | { readonly is: 'as-path-prefix'; readonly path: readonly number[] }
  | { readonly is: 'local-pref-above' | 'local-pref' | 'metric-below'; readonly value: number }
  /** The number of the program that wrote it into the kernel (`proto`). */
  | { readonly is: 'kernel-protocol'; readonly value: number }
  /** The route has a metric, and it is not 0, which the kernel has for none. */
  | { readonly is: 'metric' };

export type BirdProtocol =
  /** `scan time` is in seconds. */
  | { readonly type: 'device'; readonly name: string; readonly scanSeconds: number }
  /** Patterns of interfaces; one that begins with `-` excludes. */
  | { readonly type: 'direct'; readonly name: string; readonly interfaces: readonly string[] }
  | {
      readonly type: 'kernel';
      readonly name: string;
      readonly family: IpFamily;
      readonly scanSeconds: number;
      /** Names of filters: what is learned from the kernel, what is written to it. */
      readonly importFilter: string;
      readonly exportFilter: string;
    }
  | {
      readonly type: 'static';
      readonly name: string;
      readonly family: IpFamily;
      readonly routes: readonly BirdStaticRoute[];
    }
  | BirdBgp;

export interface BirdStaticRoute {
  readonly network: Cidr;
  /** A blackhole without one. */
  readonly via?: IpAddress;
}

/** A BGP session. What changes here changes the session itself; filters are changed without touching it. */
export interface BirdBgp {
  readonly type: 'bgp';
  readonly name: string;
  readonly family: IpFamily;
  readonly localAddress?: IpAddress;
  /** 179 unless given. */
  readonly localPort?: number;
  readonly localAs: number;
  readonly neighbor: IpAddress;
  readonly neighborPort?: number;
  readonly neighborAs: number;
  /** Listens on `localAddress` only. */
  readonly strictBind: boolean;
  readonly passive: boolean;
  /** Hops to the peer that TTL security demands. */
  readonly ttlSecurityHops?: number;
  /** The peer is our client, of this cluster. */
  readonly routeReflectorClusterId?: IpAddress;
  readonly allowedLocalAs?: number;
  readonly keepaliveSeconds?: number;
  readonly restartSeconds?: number;
  readonly password?: string;
  readonly nextHop: 'auto' | 'self' | 'keep';
  readonly importFilter: string;
  readonly exportFilter: string;
}
