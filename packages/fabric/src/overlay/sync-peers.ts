import {
  type FdbEntry,
  fdbDel,
  fdbEach,
  fdbReplaceRequest,
  type MonitorEvent,
  type Neighbour,
  neighDel,
  neighEach,
  neighReplaceRequest,
  type Rtnl,
} from '@amphipod/netlink';
import { executeBatched } from './execute-batched.ts';
import { ipKey } from './ip-key.ts';
import type { ReadonlyTrackedMap } from './tracked-map.ts';
import type { WantedFamily } from './wanted-family.ts';
import type { VxlanPeer } from './wanted-state.ts';

/** What is to be taken out once the routes no longer need it. */
export type Removals = (() => void)[];

/** Who is wanted behind a VXLAN device. */
export type WantedPeers = Pick<WantedFamily, 'family' | 'fdb' | 'neighbours'>;

/** A VXLAN device, and what is wanted behind it. */
export interface DevicePeers {
  ifIndex: number;
  family: WantedPeers;
  removals: Removals;
}

/** An announcement about the other nodes behind a device. */
export type PeerEvent = Extract<MonitorEvent, { subject: 'neighbour' | 'fdb' }>;

/**
 * Makes all neighbours and forwarding entries of a device as they are wanted. What is right stays untouched.
 * @returns the number of differences
 */
export function syncPeers(conn: Rtnl, peers: DevicePeers): number {
  return syncFdb(conn, peers) + syncNeighbours(conn, peers);
}

function syncFdb(conn: Rtnl, { ifIndex, family, removals }: DevicePeers): number {
  const { right, foreign } = sort<FdbEntry>(
    (begin) => fdbEach(conn, { ifIndex }, begin),
    (entry) => judgeFdbEntry(entry, family),
  );
  // Replacing changes the host of an entry in place; what is then left of it is taken out.
  for (const entry of foreign) removals.push(() => fdbDel(conn, entry));
  const missing = missingOf(family.fdb, right);
  putFdbEntries(conn, ifIndex, missing);
  return foreign.length + missing.length;
}

function syncNeighbours(conn: Rtnl, { ifIndex, family, removals }: DevicePeers): number {
  const { right, foreign } = sort<Neighbour>(
    (begin) => neighEach(conn, { ifIndex, family: family.family }, begin),
    (neighbour) => judgeNeighbour(neighbour, family),
  );
  for (const neighbour of foreign) removals.push(() => neighDel(conn, neighbour));
  const missing = missingOf(family.neighbours, right);
  putNeighbours(conn, ifIndex, missing);
  return foreign.length + missing.length;
}

/** Goes through a table: those who are there as it is wanted, and the entries that have to go. */
function sort<T>(
  each: (begin: () => (entry: T) => void) => void,
  judge: (entry: T) => Judgement,
): { right: Set<VxlanPeer>; foreign: T[] } {
  const right = new Set<VxlanPeer>();
  const foreign: T[] = [];
  each(() => {
    right.clear();
    foreign.length = 0;
    return (entry) => {
      const { verdict, peer } = judge(entry);
      if (verdict === 'right') right.add(peer!);
      else if (verdict === 'foreign') foreign.push(entry);
    };
  });
  return { right, foreign };
}

/** Makes what leases have changed since the last time. @returns the number of changes */
export function applyPeerChanges(conn: Rtnl, { ifIndex, family, removals }: DevicePeers): number {
  const entries: VxlanPeer[] = [];
  const neighbours: VxlanPeer[] = [];
  const removalsBefore = removals.length;
  for (const [mac, before] of family.fdb.takeChanges()) {
    const now = family.fdb.get(mac);
    if (now?.dst.value === before?.dst.value) continue;
    if (now !== undefined) entries.push(now);
    else removals.push(() => fdbDel(conn, { ifIndex, mac, dst: before!.dst }));
  }
  for (const [key, before] of family.neighbours.takeChanges()) {
    const now = family.neighbours.get(key);
    if (now?.mac === before?.mac) continue;
    if (now !== undefined) neighbours.push(now);
    else removals.push(() => neighDel(conn, { ifIndex, ip: before!.vtep }));
  }
  putFdbEntries(conn, ifIndex, entries);
  putNeighbours(conn, ifIndex, neighbours);
  return entries.length + neighbours.length + removals.length - removalsBefore;
}

/** True when what is announced is not as it is wanted. */
export function isPeerDeviation(event: PeerEvent, family: WantedPeers): boolean {
  const { verdict, peer } =
    event.subject === 'neighbour'
      ? judgeNeighbour(event.neighbour, family)
      : judgeFdbEntry(event.entry, family);
  return event.change === 'gone' ? peer !== undefined : verdict === 'wrong' || verdict === 'foreign';
}

/** Mends what an announcement named, if it is not as it is wanted. @returns the number of differences */
export function mendPeer(conn: Rtnl, event: PeerEvent, { ifIndex, family, removals }: DevicePeers): number {
  if (!isPeerDeviation(event, family)) return 0;
  if (event.subject === 'neighbour') {
    const { neighbour } = event;
    const { peer } = judgeNeighbour(neighbour, family);
    if (peer !== undefined) putNeighbours(conn, ifIndex, [peer]);
    else removals.push(() => neighDel(conn, neighbour));
    return 1;
  }
  const { entry } = event;
  const { peer, verdict } = judgeFdbEntry(entry, family);
  if (peer !== undefined) putFdbEntries(conn, ifIndex, [peer]);
  if (event.change === 'new' && verdict === 'foreign') removals.push(() => fdbDel(conn, entry));
  return 1;
}

function missingOf(
  wanted: ReadonlyTrackedMap<unknown, VxlanPeer>,
  right: ReadonlySet<VxlanPeer>,
): VxlanPeer[] {
  return wanted.size === right.size ? [] : [...wanted.values()].filter((peer) => !right.has(peer));
}

function putNeighbours(conn: Rtnl, ifIndex: number, peers: readonly VxlanPeer[]): void {
  executeBatched(conn, peers, ({ vtep, mac }) => neighReplaceRequest({ ifIndex, ip: vtep, mac }));
}

function putFdbEntries(conn: Rtnl, ifIndex: number, peers: readonly VxlanPeer[]): void {
  executeBatched(conn, peers, ({ mac, dst }) => fdbReplaceRequest({ ifIndex, mac, dst }));
}

/**
 * `right`: as it is wanted; `wrong`: not quite, and replacing makes it right; `foreign`: it has to go, whether or not something
 * else is wanted under its key; `passing`: comes and goes by itself.
 */
type Verdict = 'right' | 'wrong' | 'foreign' | 'passing';

interface Judgement {
  verdict: Verdict;
  /** What is wanted under this key. */
  peer: VxlanPeer | undefined;
}

function judgeNeighbour({ ip, mac, state, proxy }: Neighbour, family: WantedPeers): Judgement {
  const peer = ip.family === family.family && proxy !== true ? family.neighbours.get(ipKey(ip)) : undefined;
  if (peer !== undefined)
    return { verdict: mac === peer.mac && state === 'permanent' ? 'right' : 'wrong', peer };
  // The kernel's own entries (multicast groups, questions without an answer) come and go by themselves.
  const isPassing =
    ip.family !== family.family ||
    mac === undefined ||
    state === undefined ||
    state === 'noarp' ||
    state === 'failed' ||
    state === 'incomplete';
  return { verdict: isPassing ? 'passing' : 'foreign', peer };
}

function judgeFdbEntry(
  { mac, dst, vni, port, isPermanent }: FdbEntry,
  { fdb, family }: WantedPeers,
): Judgement {
  const peer = fdb.get(mac);
  // To a host, by the device's own port and network.
  const isToRightHost =
    peer !== undefined &&
    dst?.family === family &&
    dst.value === peer.dst.value &&
    vni === undefined &&
    port === undefined;
  if (!isToRightHost) return { verdict: 'foreign', peer };
  // What was learned from frames, and rightly so, is made to stay.
  return { verdict: isPermanent === true ? 'right' : 'wrong', peer };
}
