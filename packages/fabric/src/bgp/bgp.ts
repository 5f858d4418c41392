import { setTimeout as delay } from 'node:timers/promises';
import { type Rtnl, routeList } from '@amphipod/netlink';
import type { Datastore } from '../datastore/datastore.ts';
import type { KernelView } from '../overlay/sync-kernel.ts';
import type { BgpFacts } from './bgp-facts.ts';
import { BirdProcess } from './bird-process.ts';
import { parseSessions, type SessionState } from './bird-state.ts';
import { birdRouteProtocol, ClusterKernel } from './cluster-kernel.ts';
import { renderBird } from './render-bird.ts';
import { type WantedBird, wantedBird } from './wanted-bird.ts';
import { watchFacts } from './watch-facts.ts';

/** What is changed together is taken over together. */
const GATHER_MS = 20;
const RETRY_MS = 1_000;

export interface BgpOptions {
  store: Datastore;
  nodeName: string;
  kernel: KernelView;
  /** For BIRD's configuration and control socket: a directory of its own below /run. */
  stateDir: string;
  /** How BIRD is started; `['bird']` unless given. */
  birdCommand?: readonly string[];
  /** Reads a key of a secret; without it there are no passwords. */
  password?: BgpFacts['password'];
  /** Told of what happens, a line each. */
  onEvent?: (message: string) => void;
  /** Told of failures that are tried again. */
  onError?: (error: Error) => void;
}

/**
 * The routed network's part of this node: BIRD, and what the kernel needs beside BIRD's routes. All follows from the datastore's
 * resources. Ends when it is disposed of; BIRD and the kernel's entries stay.
 */
export interface Bgp extends AsyncDisposable {
  /** What is wanted now; undefined until the node has an address for BGP. */
  readonly wanted: WantedBird | undefined;
  /** The sessions as BIRD has them. @throws FabricError `unavailable`, `bird-error` */
  sessions(): Promise<SessionState[]>;
  /** Is rejected with what ends it; resolves when it is disposed of. */
  readonly ended: Promise<void>;
  /** Reads passwords again, and looks at all that is there. */
  refresh(): void;
}

/** Starts it. What cannot be done yet is tried again. */
export function startBgp(options: BgpOptions): Bgp {
  return new BgpKeeper(options);
}

class BgpKeeper implements Bgp {
  readonly ended: Promise<void>;
  readonly #options: BgpOptions;
  readonly #bird: BirdProcess;
  readonly #kernel: ClusterKernel;
  readonly #stop = new AbortController();
  readonly #told = new Set<string>();
  #facts: BgpFacts | undefined;
  #wanted: WantedBird | undefined;
  #wake = Promise.withResolvers<void>();

  constructor(options: BgpOptions) {
    const { stateDir, birdCommand: command = ['bird'], kernel, onEvent = () => {} } = options;
    this.#options = options;
    this.#bird = new BirdProcess({ stateDir, command, hasRoutes: () => hasBirdRoutes(kernel.rtnl), onEvent });
    this.#kernel = new ClusterKernel({ ...options, awayPeers: () => this.#awayPeers() }, () =>
      this.#wake.resolve(),
    );
    const { signal } = this.#stop;
    const tasks = [this.#watch(signal), this.#apply(signal), this.#kernel.watch(signal)];
    this.ended = Promise.all(tasks).then(
      () => {},
      (error: unknown) => {
        this.#stop.abort();
        throw error;
      },
    );
    // Whoever does not look at it must not be ended by it.
    this.ended.catch(() => {});
  }

  get wanted(): WantedBird | undefined {
    return this.#wanted;
  }

  async sessions(): Promise<SessionState[]> {
    return parseSessions(await this.#bird.ask('show protocols all'));
  }

  refresh(): void {
    this.#wake.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.ended.catch(() => {});
    await this.#bird[Symbol.asyncDispose]();
  }

  async #awayPeers(): Promise<ReadonlySet<bigint> | undefined> {
    const states = await this.sessions().catch(() => undefined);
    if (states === undefined) return undefined;
    const settled = new Set(
      states.flatMap(({ name, state, isRestarting }) =>
        state === 'Established' && !isRestarting ? name : [],
      ),
    );
    const away = this.#wanted?.sessions.filter(({ bgp }) => !settled.has(bgp.name)) ?? [];
    return new Set(away.map(({ bgp }) => bgp.neighbor.value));
  }

  #watch(signal: AbortSignal): Promise<void> {
    const { store, nodeName, password = () => undefined } = this.#options;
    return watchFacts({
      store,
      nodeName,
      password,
      signal,
      onChange: (facts) => {
        this.#facts = facts;
        this.#wake.resolve();
      },
      onInvalid: (error) => this.#options.onError?.(error),
    });
  }

  async #apply(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#wake.resolve(), { once: true });
    while (!signal.aborted) {
      await this.#wake.promise;
      await delay(GATHER_MS, undefined, { signal }).catch(() => {});
      this.#wake = Promise.withResolvers();
      if (signal.aborted || this.#facts === undefined) continue;
      try {
        await this.#applyOnce(this.#facts);
      } catch (error) {
        if (signal.aborted) return;
        this.#options.onError?.(error as Error);
        setTimeout(() => this.#wake.resolve(), RETRY_MS).unref();
      }
    }
  }

  /** The kernel first: blocks are told to nobody before what is not there is refused. */
  async #applyOnce(facts: BgpFacts): Promise<void> {
    await this.#kernel.apply(facts);
    const wanted = wantedBird(facts);
    this.#wanted = wanted;
    this.#tellProblems(wanted);
    if (wanted === undefined) return;
    await this.#bird.apply(renderBird({ ...wanted.config, logFile: this.#bird.logPath }));
  }

  /** Each problem once, for as long as it is there. */
  #tellProblems(wanted: WantedBird | undefined): void {
    const now = wanted?.problems.map(({ subject, why }) => `${subject}: ${why}`) ?? [
      `node ${JSON.stringify(this.#options.nodeName)} has no address for BGP in the datastore`,
    ];
    for (const message of now) if (!this.#told.has(message)) this.#options.onEvent?.(message);
    this.#told.clear();
    for (const message of now) this.#told.add(message);
  }
}

/** True when the kernel has routes of a BIRD of before. */
function hasBirdRoutes(rtnl: Rtnl): boolean {
  return ([4, 6] as const).some((family) =>
    routeList(rtnl, { family }).some(({ protocol }) => protocol === birdRouteProtocol),
  );
}
