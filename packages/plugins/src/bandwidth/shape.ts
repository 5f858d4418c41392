import type { UndoStack } from '@amphipod/linux';
import {
  htbClassAdd,
  type Link,
  type Psched,
  type QdiscSpec,
  qdiscAdd,
  qdiscDel,
  type Rtnl,
  type TbfOptions,
  tcHandle,
  transmitTicks,
  u32FilterAdd,
} from '@amphipod/netlink';
import type { RateLimit, ShapedSubnets } from './config.ts';
import { type Side, subnetFilter } from './subnet-filter.ts';

/** How long a packet may wait. */
const LATENCY_SECONDS = 0.025;
const MAX_U32 = 0xffff_ffff;

/** Handles of the qdisc and, where only some packets are limited, of its classes: those of the reference 1.5. */
export const ROOT = tcHandle(1);
export const SHAPED_CLASS = 0x30;
export const UNSHAPED_CLASS = 1;
/** Of the class without a limit: 800 Gbit/s. */
const UNSHAPED_BYTES_PER_SECOND = 100_000_000_000;

/** One end of the shaping: the link whose outgoing packets wait, and which of their addresses is the other machine's. */
export interface ShapedLink {
  link: Pick<Link, 'ifIndex'>;
  remote: Side;
}

export interface Shaping {
  limit: RateLimit;
  shaped: ShapedSubnets;
  psched: Psched;
}

/** The token bucket of a limit, in the reference's arithmetic. */
export function tokenBucket(psched: Psched, { bytesPerSecond, burstBytes }: RateLimit): TbfOptions {
  return {
    kind: 'tbf',
    bytesPerSecond,
    bufferTicks: transmitTicks(psched, burstBytes, bytesPerSecond),
    limitBytes: Math.min(Math.trunc(bytesPerSecond * LATENCY_SECONDS) + burstBytes, MAX_U32),
  };
}

/** Limits what leaves through a link. @throws NetlinkError EEXIST when something shapes it already */
export function shape(rtnl: Rtnl, undo: UndoStack, { link, remote }: ShapedLink, shaping: Shaping): void {
  const { ifIndex } = link;
  const add = (spec: QdiscSpec) => {
    let isMade = false;
    undo.defer(`remove qdisc of link ${ifIndex}`, () => {
      if (isMade) qdiscDel(rtnl, ifIndex, 'root');
    });
    qdiscAdd(rtnl, spec);
    isMade = true;
  };
  const { kind, subnets } = shaping.shaped;
  const bucket = tokenBucket(shaping.psched, shaping.limit);
  if (kind === 'all') {
    add({ ...bucket, ifIndex, handle: ROOT });
    return;
  }
  const [listed, others] = kind === 'only' ? [SHAPED_CLASS, UNSHAPED_CLASS] : [UNSHAPED_CLASS, SHAPED_CLASS];
  add({ kind: 'htb', ifIndex, handle: ROOT, defaultClass: others });
  addClasses(rtnl, ifIndex, bucket);
  for (const subnet of subnets) {
    u32FilterAdd(rtnl, {
      ...subnetFilter(subnet, remote),
      ifIndex,
      parent: ROOT,
      classId: tcHandle(1, listed),
    });
  }
}

function addClasses(rtnl: Rtnl, ifIndex: number, { bytesPerSecond, bufferTicks }: TbfOptions): void {
  htbClassAdd(rtnl, {
    ifIndex,
    handle: tcHandle(1, SHAPED_CLASS),
    parent: ROOT,
    bytesPerSecond,
    bufferTicks,
    ceilBufferTicks: bufferTicks,
  });
  htbClassAdd(rtnl, {
    ifIndex,
    handle: tcHandle(1, UNSHAPED_CLASS),
    parent: ROOT,
    bytesPerSecond: UNSHAPED_BYTES_PER_SECOND,
    bufferTicks: 0,
    ceilBufferTicks: 0,
  });
}
