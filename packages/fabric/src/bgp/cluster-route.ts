import type { Cidr, IpAddress } from '@amphipod/netlink';

/** `proto 98`: marks the routes that the agent makes for the routed network; 97 is the overlay, 12 BIRD. */
export const clusterRouteProtocol = 98;

/** How packets get to a block of another node. */
export type Way = 'direct' | 'vxlan' | 'ipip';

/** A route that the agent writes; a blackhole refuses what comes, so that it does not go round in circles. */
export interface ClusterRoute {
  readonly dst: Cidr;
  readonly way: Way | 'blackhole';
  /** The other node, or its address on the tunnel. */
  readonly gateway?: IpAddress;
  /** Metric; the kernel's usual one unless given. */
  readonly priority?: number;
}
