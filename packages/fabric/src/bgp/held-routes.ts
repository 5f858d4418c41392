import { isCode } from '@amphipod/linux';
import { formatCidr, type Route, type Rtnl, routeReplace } from '@amphipod/netlink';
import { addressOf, type BgpFacts, nodeBgp } from './bgp-facts.ts';
import { type ClusterRoute, clusterRouteProtocol } from './cluster-route.ts';

/** Behind BIRD's own routes, so that those count as soon as they are back. */
const HELD_PRIORITY = 100_000;
/** A peer that is not back by then is really gone. */
const HOLD_MS = 20_000;

/**
 * Routes to blocks of nodes whose BGP is away for a moment: BIRD took them out of the kernel, as the standard wants it of a peer that
 * restarts twice, and the datastore says that the node still has the block.
 */
export class HeldRoutes {
  readonly #held = new Map<string, { route: ClusterRoute; node: string; endsAtMs: number }>();
  #facts: BgpFacts | undefined;
  #owners: Map<string, string> | undefined;

  get size(): number {
    return this.#held.size;
  }

  /** What follows for held routes of other facts: a node without the block, or with another address, is not held. */
  learn(facts: BgpFacts): void {
    this.#facts = facts;
    this.#owners = undefined;
    for (const [key, { route, node }] of this.#held) {
      if (this.#ownerOf(key) !== node || !this.#isAt(node, route)) this.#held.delete(key);
    }
  }

  /** Holds the way of a route that is gone, if it is one to a node's block by the node itself. */
  take(rtnl: Rtnl, { dst, gateway, ifIndex }: Route): void {
    if (dst === undefined || gateway === undefined || ifIndex === undefined) return;
    const key = formatCidr(dst);
    const node = this.#ownerOf(key);
    const route = { dst, way: 'direct', gateway, priority: HELD_PRIORITY } as const;
    if (node === undefined || node === this.#facts?.nodeName || !this.#isAt(node, route)) return;
    try {
      routeReplace(rtnl, { dst, gateway, ifIndex, priority: HELD_PRIORITY, protocol: clusterRouteProtocol });
    } catch (error) {
      // The link went, and took the route with it.
      if (isCode(error, 'ENETUNREACH', 'EHOSTUNREACH', 'ENETDOWN', 'ENODEV', 'EINVAL')) return;
      throw error;
    }
    this.#held.set(key, { route, node, endsAtMs: performance.now() + HOLD_MS });
  }

  /** Lets go of those whose peers are there again, or stay away. @param isSettled whether the session with an address is as it should be */
  release(isSettled: (neighbor: bigint) => boolean): void {
    for (const [key, { route, endsAtMs }] of this.#held) {
      if (isSettled(route.gateway!.value) || performance.now() > endsAtMs) this.#held.delete(key);
    }
  }

  routes(): ClusterRoute[] {
    return [...this.#held.values()].map(({ route }) => route);
  }

  #ownerOf(network: string): string | undefined {
    this.#owners ??= new Map(this.#facts?.blocks.map(({ node, cidr }) => [formatCidr(cidr), node]));
    return this.#owners.get(network);
  }

  #isAt(name: string, { gateway, dst }: ClusterRoute): boolean {
    const facts = this.#facts!;
    const resource = facts.nodes.find(({ metadata }) => metadata.name === name);
    const bgp = resource && nodeBgp(facts, resource);
    return bgp !== undefined && addressOf(bgp, dst.ip.family)?.ip.value === gateway?.value;
  }
}
