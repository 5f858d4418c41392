import { AttributeReader, MessageWriter } from '../attributes.ts';
import { type Begin, collect, type NetlinkRequest, NLM_F } from '../conn.ts';
import { ERRNO, malformed, NetlinkError } from '../errors.ts';
import { formatIp, type IpAddress, type IpFamily, ipToBytes } from '../ip.ts';
import { parseMac } from '../mac.ts';
import { familyNumbers } from './address.ts';
import { AF, NDA, NTF, NUD, RTM } from './constants.ts';
import type { Rtnl } from './rtnl.ts';

const NDMSG = 12;

export type NeighbourState = keyof typeof NUD;

const stateNames = new Map((Object.keys(NUD) as NeighbourState[]).map((name) => [NUD[name] as number, name]));

/** An entry of the neighbour table (ARP, NDP). */
export interface Neighbour {
  ifIndex: number;
  ip: IpAddress;
  mac?: string;
  /** Absent for proxy entries and those without a state. */
  state?: NeighbourState;
  /** We answer for this address on the link. */
  proxy?: boolean;
}

export interface NeighbourSpec {
  ifIndex: number;
  ip: IpAddress;
  /** Needed unless `proxy`. */
  mac?: string;
  /** `permanent` unless given. */
  state?: NeighbourState;
  proxy?: boolean;
}

/** `ip neigh add IP lladdr … dev … nud …`. @throws NetlinkError EEXIST, ENODEV */
export function neighAdd(conn: Rtnl, spec: NeighbourSpec): void {
  conn.execute(neighbourRequest('add', spec, NLM_F.CREATE | NLM_F.EXCL));
}

/** `ip neigh replace IP lladdr … dev … nud …`. @throws NetlinkError ENODEV */
export function neighReplace(conn: Rtnl, spec: NeighbourSpec): void {
  conn.execute(neighReplaceRequest(spec));
}

/** {@link neighReplace} for {@link NetlinkConn.executeAll}. */
export function neighReplaceRequest(spec: NeighbourSpec): NetlinkRequest {
  return neighbourRequest('replace', spec, NLM_F.CREATE | NLM_F.REPLACE);
}

function neighbourRequest(verb: string, spec: NeighbourSpec, flags: number): NetlinkRequest {
  const message = new MessageWriter(128).message(RTM.NEWNEIGH, NLM_F.REQUEST | NLM_F.ACK | flags);
  writeNeighbour(message, spec, NUD[spec.state ?? 'permanent']);
  if (spec.mac !== undefined) message.bytesOf(NDA.LLADDR, parseMac(spec.mac));
  return { op: `${verb} neighbour ${formatIp(spec.ip)} on link ${spec.ifIndex}`, message };
}

type NeighbourKey = Pick<NeighbourSpec, 'ifIndex' | 'ip' | 'proxy'>;

function writeNeighbour(message: MessageWriter, key: NeighbourKey, state: number): void {
  const header = message.header(NDMSG);
  header[0] = familyNumbers[key.ip.family];
  header.writeInt32LE(key.ifIndex, 4);
  header.writeUInt16LE(state, 8);
  header[10] = key.proxy ? NTF.PROXY : 0;
  message.bytesOf(NDA.DST, ipToBytes(key.ip));
}

/** `ip neigh del IP dev …`; false when there was none. @throws NetlinkError ENODEV */
export function neighDel(conn: Rtnl, key: NeighbourKey): boolean {
  const message = new MessageWriter(128).message(RTM.DELNEIGH, NLM_F.REQUEST | NLM_F.ACK);
  writeNeighbour(message, key, 0);
  try {
    conn.execute({ op: `delete neighbour ${formatIp(key.ip)} on link ${key.ifIndex}`, message });
    return true;
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === ERRNO.ENOENT) return false;
    throw error;
  }
}

export interface NeighbourFilter {
  ifIndex?: number;
  family?: IpFamily;
  proxy?: boolean;
}

/** `ip [-4|-6] neigh show [dev …] [proxy]`; the kernel filters. @throws NetlinkError */
export function neighList(conn: Rtnl, filter: NeighbourFilter = {}): Neighbour[] {
  return collect<Neighbour>((begin) => neighEach(conn, filter, begin));
}

/** {@link neighList} for tables of many thousands, as {@link NetlinkConn.each} tells them. */
export function neighEach(conn: Rtnl, filter: NeighbourFilter, begin: Begin<Neighbour>): void {
  const message = new MessageWriter(64).message(RTM.GETNEIGH, NLM_F.REQUEST | NLM_F.DUMP);
  const header = message.header(NDMSG);
  header[0] = filter.family === undefined ? AF.UNSPEC : familyNumbers[filter.family];
  header[10] = filter.proxy ? NTF.PROXY : 0;
  if (filter.ifIndex !== undefined) message.u32(NDA.IFINDEX, filter.ifIndex);
  conn.each({ op: 'list neighbours', message }, () => {
    const tell = begin();
    return ({ type, payload }) => {
      const neighbour = type === RTM.NEWNEIGH ? parseNeighbour(payload) : undefined;
      if (neighbour === undefined) return;
      if (filter.ifIndex === undefined || neighbour.ifIndex === filter.ifIndex) tell(neighbour);
    };
  });
}

/** Reads the payload of an RTM_NEWNEIGH or RTM_DELNEIGH; undefined for other families (a bridge's). @throws NetlinkError EPROTO */
export function parseNeighbour(payload: Buffer): Neighbour | undefined {
  if (payload.length < NDMSG) throw malformed(`neighbour message of ${payload.length} bytes`);
  if (payload[0] !== AF.INET && payload[0] !== AF.INET6) return undefined;
  const state = payload.readUInt16LE(8);
  let ip: IpAddress | undefined;
  let mac: string | undefined;
  const attrs = new AttributeReader(payload, NDMSG);
  while (attrs.next()) {
    if (attrs.type === NDA.DST) ip = attrs.ip(payload[0] === AF.INET ? 4 : 16);
    else if (attrs.type === NDA.LLADDR && attrs.size > 0) mac = attrs.mac();
  }
  if (ip === undefined) throw malformed('neighbour message without an address');
  const neighbour: Neighbour = { ifIndex: payload.readInt32LE(4), ip };
  if (mac !== undefined) neighbour.mac = mac;
  const name = stateNames.get(state);
  if (name !== undefined) neighbour.state = name;
  if ((payload[10]! & NTF.PROXY) !== 0) neighbour.proxy = true;
  return neighbour;
}
