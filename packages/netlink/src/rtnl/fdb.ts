import { AttributeReader, MessageWriter } from '../attributes.ts';
import { type Begin, collect, type NetlinkRequest, NLM_F } from '../conn.ts';
import { ERRNO, malformed, NetlinkError } from '../errors.ts';
import { type IpAddress, ipToBytes } from '../ip.ts';
import { parseMac } from '../mac.ts';
import { AF, NDA, NTF, NUD, RTM } from './constants.ts';
import type { Rtnl } from './rtnl.ts';

const NDMSG = 12;

/** An entry of a forwarding database: behind which port, or for a VXLAN behind which host, a MAC address is. */
export interface FdbEntry {
  /** The bridge port or the VXLAN link. */
  ifIndex: number;
  mac: string;
  /** The bridge of the port. */
  masterIndex?: number;
  vlanId?: number;
  /** The host that a VXLAN sends frames for this address to. */
  dst?: IpAddress;
  vni?: number;
  /** UDP port, unless it is the link's own. */
  port?: number;
  /** It was put there and stays; else it was learned from frames and ages. */
  isPermanent?: boolean;
}

export interface FdbSpec extends Omit<FdbEntry, 'isPermanent'> {
  /** `self`: the link's own database, as a VXLAN has one; `master`: that of its bridge. `self` unless given. */
  in?: 'self' | 'master';
}

/** `bridge fdb add MAC dev …`: an entry that stays. @throws NetlinkError EEXIST */
export function fdbAdd(conn: Rtnl, spec: FdbSpec): void {
  conn.execute(entryRequest('add', spec, NLM_F.CREATE | NLM_F.EXCL));
}

/** `bridge fdb replace MAC dev …`. @throws NetlinkError */
export function fdbReplace(conn: Rtnl, spec: FdbSpec): void {
  conn.execute(fdbReplaceRequest(spec));
}

/** {@link fdbReplace} for {@link NetlinkConn.executeAll}. */
export function fdbReplaceRequest(spec: FdbSpec): NetlinkRequest {
  return entryRequest('replace', spec, NLM_F.CREATE | NLM_F.REPLACE);
}

/** `bridge fdb append MAC dev … dst …`: a further host for the address, as the all-zero address of a VXLAN has them. */
export function fdbAppend(conn: Rtnl, spec: FdbSpec): void {
  conn.execute(entryRequest('append', spec, NLM_F.CREATE | NLM_F.APPEND));
}

function entryRequest(verb: string, spec: FdbSpec, flags: number): NetlinkRequest {
  const message = new MessageWriter(128).message(RTM.NEWNEIGH, NLM_F.REQUEST | NLM_F.ACK | flags);
  writeEntry(message, spec);
  return { op: `${verb} fdb entry ${spec.mac} on link ${spec.ifIndex}`, message };
}

/** `bridge fdb del MAC dev …`; false when there was none. @throws NetlinkError */
export function fdbDel(conn: Rtnl, spec: FdbSpec): boolean {
  const message = new MessageWriter(128).message(RTM.DELNEIGH, NLM_F.REQUEST | NLM_F.ACK);
  writeEntry(message, spec);
  try {
    conn.execute({ op: `delete fdb entry ${spec.mac} on link ${spec.ifIndex}`, message });
    return true;
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === ERRNO.ENOENT) return false;
    throw error;
  }
}

function writeEntry(message: MessageWriter, spec: FdbSpec): void {
  const header = message.header(NDMSG);
  header[0] = AF.BRIDGE;
  header.writeInt32LE(spec.ifIndex, 4);
  header.writeUInt16LE(NUD.permanent | NUD.noarp, 8);
  header[10] = spec.in === 'master' ? NTF.MASTER : NTF.SELF;
  message.bytesOf(NDA.LLADDR, parseMac(spec.mac));
  if (spec.dst !== undefined) message.bytesOf(NDA.DST, ipToBytes(spec.dst));
  if (spec.vlanId !== undefined) message.u16(NDA.VLAN, spec.vlanId);
  if (spec.vni !== undefined) message.u32(NDA.VNI, spec.vni);
  if (spec.port !== undefined) message.u16be(NDA.PORT, spec.port);
}

/** `bridge fdb show dev …`. @throws NetlinkError */
export function fdbList(conn: Rtnl, filter: { ifIndex?: number } = {}): FdbEntry[] {
  return collect<FdbEntry>((begin) => fdbEach(conn, filter, begin));
}

/** {@link fdbList} for tables of many thousands, as {@link NetlinkConn.each} tells them. */
export function fdbEach(conn: Rtnl, filter: { ifIndex?: number }, begin: Begin<FdbEntry>): void {
  const message = new MessageWriter(64).message(RTM.GETNEIGH, NLM_F.REQUEST | NLM_F.DUMP);
  const header = message.header(NDMSG);
  header[0] = AF.BRIDGE;
  header.writeInt32LE(filter.ifIndex ?? 0, 4);
  conn.each({ op: 'list fdb entries', message }, () => {
    const tell = begin();
    return ({ type, payload }) => {
      const entry = type === RTM.NEWNEIGH ? parseFdbEntry(payload) : undefined;
      if (entry === undefined) return;
      if (filter.ifIndex === undefined || entry.ifIndex === filter.ifIndex) tell(entry);
    };
  });
}

/** Reads an RTM_NEWNEIGH of the bridge family; undefined for others. @throws NetlinkError EPROTO */
export function parseFdbEntry(payload: Buffer): FdbEntry | undefined {
  if (payload.length < NDMSG) throw malformed(`fdb message of ${payload.length} bytes`);
  if (payload[0] !== AF.BRIDGE) return undefined;
  const isPermanent = (payload.readUInt16LE(8) & NUD.permanent) !== 0;
  const entry: FdbEntry = { ifIndex: payload.readInt32LE(4), mac: '', ...(isPermanent && { isPermanent }) };
  const attrs = new AttributeReader(payload, NDMSG);
  while (attrs.next()) {
    if (attrs.type === NDA.LLADDR) entry.mac = attrs.mac();
    else if (attrs.type === NDA.MASTER) entry.masterIndex = attrs.u32();
    else if (attrs.type === NDA.DST) entry.dst = attrs.ip();
    else if (attrs.type === NDA.VLAN) entry.vlanId = attrs.u16();
    else if (attrs.type === NDA.VNI) entry.vni = attrs.u32();
    else if (attrs.type === NDA.PORT) entry.port = attrs.u16be();
  }
  return entry;
}
