import { isCode } from '@amphipod/linux';
import { type NetlinkMessage, splitMessages, traceDatagram } from '../conn.ts';
import { type Address, parseAddress } from './address.ts';
import { RTM, RTNLGRP } from './constants.ts';
import { type FdbEntry, parseFdbEntry } from './fdb.ts';
import { parseLink } from './link-parse.ts';
import type { Link } from './link-types.ts';
import { type Neighbour, parseNeighbour } from './neighbour.ts';
import { parseRoute } from './route-parse.ts';
import type { Route } from './route-types.ts';
import type { BackgroundTransport, Rtnl } from './rtnl.ts';

const RECEIVE_BUFFER_BYTES = 4 << 20;
const POLL_TIMEOUT_MS = 250;

const groups = {
  link: [RTNLGRP.LINK],
  address: [RTNLGRP.IPV4_IFADDR, RTNLGRP.IPV6_IFADDR],
  route: [RTNLGRP.IPV4_ROUTE, RTNLGRP.IPV6_ROUTE],
  neighbour: [RTNLGRP.NEIGH],
  fdb: [RTNLGRP.NEIGH],
} as const;

/** What a monitor can listen to. */
export type MonitorSubject = keyof typeof groups;

/** Something that the kernel announced. After `lost` the listener has to list anew: events are missing. */
export type MonitorEvent =
  | { subject: 'link'; change: 'new' | 'gone'; link: Link }
  | { subject: 'address'; change: 'new' | 'gone'; address: Address }
  | { subject: 'route'; change: 'new' | 'gone'; route: Route }
  | { subject: 'neighbour'; change: 'new' | 'gone'; neighbour: Neighbour }
  | { subject: 'fdb'; change: 'new' | 'gone'; entry: FdbEntry }
  | { subject: 'lost' };

/**
 * `ip monitor [link] [address] [route] [neigh]`, `bridge monitor fdb`: listens from the call on. Ends when `signal` aborts (within a quarter of
 * a second) or the loop that reads it ends; must be read, for only that closes its socket. Holds one pool thread while it
 * waits. `new` also means changed.
 */
export function monitor(
  conn: Rtnl,
  subjects: readonly MonitorSubject[],
  { signal }: { signal?: AbortSignal } = {},
): AsyncGenerator<MonitorEvent, void, void> {
  const socket = conn.openSibling([...new Set(subjects.flatMap((subject) => groups[subject]))]);
  socket.setReceiveBuffer(RECEIVE_BUFFER_BYTES);
  return events(socket, subjects, signal);
}

async function* events(
  socket: BackgroundTransport,
  subjects: readonly MonitorSubject[],
  signal: AbortSignal | undefined,
) {
  try {
    while (!signal?.aborted) {
      await socket.waitReadable(POLL_TIMEOUT_MS);
      for (const event of receiveAll(socket)) {
        // Two subjects share a group.
        if (event.subject === 'lost' || subjects.includes(event.subject)) yield event;
      }
    }
  } finally {
    socket.close();
  }
}

function* receiveAll(socket: BackgroundTransport): Generator<MonitorEvent, void, void> {
  for (;;) {
    let datagram: Buffer | undefined;
    try {
      datagram = socket.receiveNow();
    } catch (error) {
      if (!isCode(error, 'ENOBUFS')) throw error;
      yield { subject: 'lost' };
      continue;
    }
    if (datagram === undefined) return;
    traceDatagram('receive', 'monitor', datagram);
    for (const message of splitMessages(datagram)) {
      const event = parseEvent(message);
      if (event !== undefined) yield event;
    }
  }
}

/** Undefined for what is no event, or one of a family that this library does not read. */
function parseEvent({ type, payload }: NetlinkMessage): MonitorEvent | undefined {
  switch (type) {
    case RTM.NEWLINK:
    case RTM.DELLINK: {
      // The bridge announces its ports under its own family, beside the links themselves.
      if (payload[0] !== 0) return undefined;
      return { subject: 'link', change: type === RTM.NEWLINK ? 'new' : 'gone', link: parseLink(payload) };
    }
    case RTM.NEWADDR:
    case RTM.DELADDR: {
      const address = parseAddress(payload);
      return address && { subject: 'address', change: type === RTM.NEWADDR ? 'new' : 'gone', address };
    }
    case RTM.NEWROUTE:
    case RTM.DELROUTE: {
      const route = parseRoute(payload);
      return route && { subject: 'route', change: type === RTM.NEWROUTE ? 'new' : 'gone', route };
    }
    case RTM.NEWNEIGH:
    case RTM.DELNEIGH: {
      const change = type === RTM.NEWNEIGH ? 'new' : 'gone';
      const entry = parseFdbEntry(payload);
      if (entry !== undefined) return { subject: 'fdb', change, entry };
      const neighbour = parseNeighbour(payload);
      return neighbour && { subject: 'neighbour', change, neighbour };
    }
    default:
      return undefined;
  }
}
