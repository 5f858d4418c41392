import { AttributeReader, MessageWriter } from './attributes.ts';
import { NLM_F } from './conn.ts';
import { ERRNO, malformed, NetlinkError } from './errors.ts';
import { type IpAddress, type IpFamily, ipToBytes } from './ip.ts';
import { NFNL_SUBSYS } from './nft/constants.ts';
import type { Nft } from './nft/nft.ts';

// include/uapi/linux/netfilter/nfnetlink_conntrack.h
const IPCTNL_MSG_CT = { GET: 1, DELETE: 2 } as const;
const CTA = { TUPLE_ORIG: 1, TUPLE_REPLY: 2, ID: 12, ZONE: 18, FILTER: 25 } as const;
const CTA_TUPLE = { IP: 1, PROTO: 2 } as const;
const CTA_IP = { V4_SRC: 1, V4_DST: 2, V6_SRC: 3, V6_DST: 4 } as const;
const CTA_PROTO = { NUM: 1, SRC_PORT: 2, DST_PORT: 3 } as const;
const CTA_FILTER_ORIG_FLAGS = 1;
// net/netfilter/nf_conntrack_netlink.c, enum ctnetlink_filter flags
const FILTER = { IP_SRC: 1, IP_DST: 2, PROTO_NUM: 8, PROTO_SRC_PORT: 16, PROTO_DST_PORT: 32 } as const;
const NFGENMSG = 4;
const families = { 4: 2, 6: 10 } as const;

/** Which flows: all that is given must fit their original direction, as the first packet had it before any NAT. */
export interface ConntrackFilter {
  family: IpFamily;
  /** Transport protocol: 6 TCP, 17 UDP, 132 SCTP. */
  protocol?: number;
  src?: IpAddress;
  dst?: IpAddress;
  srcPort?: number;
  dstPort?: number;
}

/** A tracked flow. */
export interface ConntrackFlow {
  family: IpFamily;
  protocol: number;
  src: IpAddress;
  dst: IpAddress;
  /** Absent for protocols without ports. */
  srcPort?: number;
  dstPort?: number;
  /** Where answers come from: `dst` and `dstPort` as they are behind a translation of the destination. */
  replySrc?: IpAddress;
  replySrcPort?: number;
}

interface RawFlow extends ConntrackFlow {
  /** The attributes that name the flow to the kernel, as they came. */
  key: { type: number; value: Buffer }[];
}

/** `conntrack -L …`; kernels from 5.9 on do the filtering. @throws NetlinkError */
export function conntrackList(conn: Nft, filter: ConntrackFilter): ConntrackFlow[] {
  return listRaw(conn, filter).map(({ key: _key, ...flow }) => flow);
}

/**
 * `conntrack -D [-p …] [--orig-dst …] [--orig-port-dst …]`: forgets the flows, so that their next packet goes through the
 * rules anew; gives their number. A flow that ends meanwhile is not counted. @throws NetlinkError
 */
export function conntrackFlush(conn: Nft, filter: ConntrackFilter): number {
  return listRaw(conn, filter).filter((flow) => deleteFlow(conn, flow)).length;
}

function deleteFlow(conn: Nft, flow: RawFlow): boolean {
  const message = begin(IPCTNL_MSG_CT.DELETE, NLM_F.ACK, flow.family);
  for (const { type, value } of flow.key) message.bytesOf(type, value);
  try {
    conn.execute({ op: 'delete conntrack flow', message });
    return true;
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === ERRNO.ENOENT) return false;
    throw error;
  }
}

function begin(type: number, flags: number, family: IpFamily): MessageWriter {
  const message = new MessageWriter(256).message((NFNL_SUBSYS.CTNETLINK << 8) | type, NLM_F.REQUEST | flags);
  message.header(NFGENMSG)[0] = families[family];
  return message;
}

function listRaw(conn: Nft, filter: ConntrackFilter): RawFlow[] {
  const message = begin(IPCTNL_MSG_CT.GET, NLM_F.DUMP, filter.family);
  writeFilter(message, filter);
  return conn
    .execute({ op: 'list conntrack flows', message })
    .map((reply) => parseFlow(reply.payload))
    .filter((flow) => flow !== undefined)
    .filter((flow) => matches(flow, filter));
}

function writeFilter(message: MessageWriter, filter: ConntrackFilter): void {
  const { family, protocol, src, dst, srcPort, dstPort } = filter;
  let flags = 0;
  const part = <T>(value: T | undefined, flag: number, write: (value: T) => void) => {
    if (value === undefined) return;
    flags |= flag;
    write(value);
  };
  message.nested(CTA.TUPLE_ORIG, () => {
    // Kernels compare IPv6 addresses here the wrong way round; those are looked at below.
    if (family === 4) {
      message.nested(CTA_TUPLE.IP, () => {
        part(src, FILTER.IP_SRC, (ip) => message.bytesOf(CTA_IP.V4_SRC, ipToBytes(ip)));
        part(dst, FILTER.IP_DST, (ip) => message.bytesOf(CTA_IP.V4_DST, ipToBytes(ip)));
      });
    }
    message.nested(CTA_TUPLE.PROTO, () => {
      part(protocol, FILTER.PROTO_NUM, (number) => message.u8(CTA_PROTO.NUM, number));
      // The kernel takes ports only with their protocol; without it they are looked at below.
      if (protocol === undefined) return;
      part(srcPort, FILTER.PROTO_SRC_PORT, (port) => message.u16be(CTA_PROTO.SRC_PORT, port));
      part(dstPort, FILTER.PROTO_DST_PORT, (port) => message.u16be(CTA_PROTO.DST_PORT, port));
    });
  });
  message.nested(CTA.FILTER, () => message.u32(CTA_FILTER_ORIG_FLAGS, flags));
}

function matches(flow: ConntrackFlow, filter: ConntrackFilter): boolean {
  return (
    flow.family === filter.family &&
    (filter.protocol === undefined || flow.protocol === filter.protocol) &&
    (filter.src === undefined || flow.src.value === filter.src.value) &&
    (filter.dst === undefined || flow.dst.value === filter.dst.value) &&
    (filter.srcPort === undefined || flow.srcPort === filter.srcPort) &&
    (filter.dstPort === undefined || flow.dstPort === filter.dstPort)
  );
}

/** Reads the payload of an IPCTNL_MSG_CT_NEW; undefined for other families. @throws NetlinkError EPROTO */
export function parseFlow(payload: Buffer): RawFlow | undefined {
  if (payload.length < NFGENMSG) throw malformed(`conntrack message of ${payload.length} bytes`);
  if (payload[0] !== families[4] && payload[0] !== families[6]) return undefined;
  const tuple: Partial<ConntrackFlow> = {};
  const reply: Partial<ConntrackFlow> = {};
  const key: RawFlow['key'] = [];
  const attrs = new AttributeReader(payload, NFGENMSG);
  while (attrs.next()) {
    if (attrs.type === CTA.TUPLE_ORIG) readTuple(tuple, attrs.nested());
    if (attrs.type === CTA.TUPLE_REPLY) readTuple(reply, attrs.nested());
    if (attrs.type === CTA.TUPLE_ORIG || attrs.type === CTA.ID || attrs.type === CTA.ZONE) {
      key.push({ type: attrs.type, value: Buffer.from(attrs.bytes()) });
    }
  }
  const { src, dst, protocol } = tuple;
  if (src === undefined || dst === undefined || protocol === undefined)
    throw malformed('conntrack flow without ends');
  return {
    ...tuple,
    ...(reply.src && { replySrc: reply.src }),
    ...(reply.srcPort !== undefined && { replySrcPort: reply.srcPort }),
    ...{ family: payload[0] === families[4] ? 4 : 6, src, dst, protocol, key },
  };
}

function readTuple(flow: Partial<ConntrackFlow>, tuple: AttributeReader): void {
  while (tuple.next()) {
    if (tuple.type !== CTA_TUPLE.IP && tuple.type !== CTA_TUPLE.PROTO) continue;
    const isIp = tuple.type === CTA_TUPLE.IP;
    const part = tuple.nested();
    while (part.next()) {
      if (isIp) readEnd(flow, part);
      else if (part.type === CTA_PROTO.NUM) flow.protocol = part.u8();
      else if (part.type === CTA_PROTO.SRC_PORT) flow.srcPort = part.u16be();
      else if (part.type === CTA_PROTO.DST_PORT) flow.dstPort = part.u16be();
    }
  }
}

function readEnd(flow: Partial<ConntrackFlow>, part: AttributeReader): void {
  if (part.type === CTA_IP.V4_SRC || part.type === CTA_IP.V6_SRC) flow.src = part.ip();
  else if (part.type === CTA_IP.V4_DST || part.type === CTA_IP.V6_DST) flow.dst = part.ip();
}
