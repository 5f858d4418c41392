import type { World } from '../lib/world.ts';

/** One part of what is looked at after an ADD. */
export type Part =
  | 'result'
  | 'cache'
  | 'links'
  | 'routes'
  | 'rules'
  | 'neighbours'
  | 'qdiscs'
  | 'filters'
  | 'bridgeVlans'
  | 'nft'
  | 'iptables'
  | 'sysctls'
  | 'files'
  | 'check';

/** A list of plugins that ours and the reference's are both run with. `DATADIR` in a string is a directory of the case's own. */
export interface DifferentialCase {
  name: string;
  plugins: readonly { type: string; [key: string]: unknown }[];
  /** Versions of the specification; default 1.0.0 alone, the newest that Debian's reference speaks. */
  versions?: readonly string[];
  capabilityArgs?: Record<string, unknown>;
  args?: readonly [key: string, value: string][];
  ifName?: string;
  /** Makes what the plugins need on the host or in the pod: a parent link, say. */
  prepare?(world: World, netns: string): void;
  /** Link kind without which the case is skipped where the kernel lacks it. */
  needsLinkKind?: string;
  /** Skipped where the kernel's bridges keep no VLANs apart. */
  needsVlanFiltering?: boolean;
  /**
   * Where ours differs on purpose: a pattern for the path of a value (`links.host.*mtu`; what is looked at after DEL begins with
   * `del:`) and the reason, which the page of the plugin gives too. A pattern that matches no difference fails the test.
   */
  differs?: Readonly<Record<string, string>>;
  /** A key that Debian's reference is too old for, with the version that has it: ours alone is run, and CHECK and DEL. */
  referenceLacks?: string;
  /** What a faulty build of the reference says; ours alone is compared then, and the run says so. */
  referenceMayFail?: RegExp;
}

/** Debian 13 builds 1.1.1 with a netlink library that writes the destination of a default route, which the plugins do not expect. */
export const missesDefaultRoute = /no default route interface found/;
