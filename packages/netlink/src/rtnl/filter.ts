import { AttributeReader, type MessageWriter } from '../attributes.ts';
import { NLM_F } from '../conn.ts';
import { malformed } from '../errors.ts';
import type { Rtnl } from './rtnl.ts';
import {
  RTM_TC,
  TC_ACT_STOLEN,
  TC_U32_TERMINAL,
  TCA,
  TCA_ACT,
  TCA_EGRESS_REDIR,
  TCA_MIRRED_PARMS,
  TCA_U32,
  TCMSG,
} from './tc-constants.ts';
import { readTcHeader, tcMessage } from './tc-message.ts';

/** 32 bits of a packet from its network header on: a match when those under the mask are equal. */
export interface U32Key {
  offset: number;
  mask: number;
  value: number;
}

/** Numbers of protocols in filters (linux/if_ether.h). */
const filterProtocols = { all: 0x0003, ip: 0x0800, ipv6: 0x86dd } as const;
export type FilterProtocol = keyof typeof filterProtocols;

/** A filter of the kind u32. */
export interface U32FilterSpec {
  ifIndex: number;
  /** The qdisc whose packets it looks at: `ffff:` for ingress. */
  parent: number;
  /** Lower comes first; all filters of one priority are for one protocol. */
  priority: number;
  protocol: FilterProtocol;
  /** All have to match; none: every packet. */
  keys?: U32Key[];
  /** The class that a match goes to. */
  classId?: number;
  /** Matches leave through this link instead (`action mirred egress redirect`). */
  redirectTo?: number;
}

export type U32Filter = U32FilterSpec & { keys: U32Key[]; handle: number };

/** Sizes of struct tc_u32_sel, tc_u32_key and tc_mirred. */
const U32_SEL = 16;
const U32_KEY = 16;
const MIRRED = 28;
const EVERYTHING: U32Key = { offset: 0, mask: 0, value: 0 };

/** `tc filter add dev … parent … prio … protocol … u32 match … [flowid …] [action mirred egress redirect dev …]`. @throws NetlinkError */
export function u32FilterAdd(conn: Rtnl, spec: U32FilterSpec): void {
  const { ifIndex, parent, classId, redirectTo } = spec;
  const flags = NLM_F.REQUEST | NLM_F.ACK | NLM_F.CREATE | NLM_F.EXCL;
  const message = tcMessage(RTM_TC.NEWTFILTER, flags, { ifIndex, parent, info: infoOf(spec) });
  message.string(TCA.KIND, 'u32');
  message.nested(TCA.OPTIONS, () => {
    if (classId !== undefined) message.u32(TCA_U32.CLASSID, classId);
    message.bytesOf(TCA_U32.SEL, selectorBytes(spec.keys ?? []));
    if (redirectTo !== undefined) writeRedirect(message, redirectTo);
  });
  conn.execute({ op: `add u32 filter on link ${ifIndex}`, message });
}

/** Priority in the upper half, protocol in network byte order in the lower. */
function infoOf({ priority, protocol }: Pick<U32FilterSpec, 'priority' | 'protocol'>): number {
  return ((priority << 16) | swap16(filterProtocols[protocol])) >>> 0;
}

function swap16(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8);
}

function selectorBytes(keys: readonly U32Key[]): Buffer {
  const all = keys.length === 0 ? [EVERYTHING] : keys;
  const bytes = Buffer.alloc(U32_SEL + U32_KEY * all.length);
  bytes[0] = TC_U32_TERMINAL;
  bytes[2] = all.length;
  for (const [i, { offset, mask, value }] of all.entries()) {
    const at = U32_SEL + U32_KEY * i;
    bytes.writeUInt32BE(mask >>> 0, at);
    bytes.writeUInt32BE(value >>> 0, at + 4);
    bytes.writeInt32LE(offset, at + 8);
  }
  return bytes;
}

function writeRedirect(message: MessageWriter, ifIndex: number): void {
  const parms = Buffer.alloc(MIRRED);
  parms.writeInt32LE(TC_ACT_STOLEN, 8);
  parms.writeInt32LE(TCA_EGRESS_REDIR, 20);
  parms.writeInt32LE(ifIndex, 24);
  message.nested(TCA_U32.ACT, () =>
    // The first of the filter's actions.
    message.nested(1, () => {
      message.string(TCA_ACT.KIND, 'mirred');
      message.nested(TCA_ACT.OPTIONS, () => message.bytesOf(TCA_MIRRED_PARMS, parms));
    }),
  );
}

/** `tc filter del dev … parent … prio …`: all of a priority. @throws NetlinkError ENOENT */
export function filterDel(
  conn: Rtnl,
  filter: Pick<U32FilterSpec, 'ifIndex' | 'parent' | 'priority' | 'protocol'>,
): void {
  const { ifIndex, parent } = filter;
  const message = tcMessage(RTM_TC.DELTFILTER, NLM_F.REQUEST | NLM_F.ACK, {
    ifIndex,
    parent,
    info: infoOf(filter),
  });
  conn.execute({ op: `delete filter on link ${ifIndex}`, message });
}

/** `tc filter show dev … parent …`, those of the kind u32; the kernel lists only this qdisc's. @throws NetlinkError ENODEV, EINVAL (no such qdisc) */
export function u32FilterList(conn: Rtnl, ifIndex: number, parent: number): U32Filter[] {
  const message = tcMessage(RTM_TC.GETTFILTER, NLM_F.REQUEST | NLM_F.DUMP, { ifIndex, parent });
  return conn
    .execute({ op: `list filters on link ${ifIndex}`, message })
    .filter((reply) => reply.type === RTM_TC.NEWTFILTER)
    .map((reply) => parseU32Filter(reply.payload))
    .filter((filter) => filter !== undefined);
}

/**
 * Reads the payload of an RTM_NEWTFILTER; undefined for other kinds and protocols, and for the hash tables that u32 makes for
 * its filters. @throws NetlinkError EPROTO
 */
export function parseU32Filter(payload: Buffer): U32Filter | undefined {
  const { ifIndex, handle, parent, info } = readTcHeader(payload);
  const number = swap16(info & 0xffff);
  const protocol = (Object.keys(filterProtocols) as FilterProtocol[]).find(
    (name) => filterProtocols[name] === number,
  );
  if (protocol === undefined) return undefined;
  const attrs = new AttributeReader(payload, TCMSG);
  let kind = '';
  let options: Pick<U32Filter, 'classId' | 'redirectTo'> & { keys?: U32Key[] } = {};
  while (attrs.next()) {
    if (attrs.type === TCA.KIND) kind = attrs.string();
    else if (attrs.type === TCA.OPTIONS && kind === 'u32') options = readOptions(attrs.nested());
  }
  const { keys } = options;
  if (keys === undefined) return undefined;
  return { ifIndex, parent, priority: info >>> 16, protocol, handle, ...options, keys };
}

function readOptions(
  attrs: AttributeReader,
): Pick<U32Filter, 'classId' | 'redirectTo'> & { keys?: U32Key[] } {
  const read: ReturnType<typeof readOptions> = {};
  while (attrs.next()) {
    if (attrs.type === TCA_U32.CLASSID) read.classId = attrs.u32();
    else if (attrs.type === TCA_U32.SEL) read.keys = readKeys(attrs.bytes());
    else if (attrs.type === TCA_U32.ACT) {
      const redirectTo = readRedirect(attrs.nested());
      if (redirectTo !== undefined) read.redirectTo = redirectTo;
    }
  }
  return read;
}

function readKeys(bytes: Buffer): U32Key[] {
  const count = bytes.length < U32_SEL ? -1 : bytes[2]!;
  if (count < 0 || bytes.length < U32_SEL + U32_KEY * count) {
    throw malformed(`u32 selector of ${bytes.length} bytes`);
  }
  const keys = Array.from({ length: count }, (_, i): U32Key => {
    const at = U32_SEL + U32_KEY * i;
    return {
      offset: bytes.readInt32LE(at + 8),
      mask: bytes.readUInt32BE(at),
      value: bytes.readUInt32BE(at + 4),
    };
  });
  return keys.filter(({ mask }) => mask !== 0);
}

/** The link that the first redirecting action names. */
function readRedirect(actions: AttributeReader): number | undefined {
  while (actions.next()) {
    const action = actions.nested();
    let kind = '';
    while (action.next()) {
      if (action.type === TCA_ACT.KIND) kind = action.string();
      if (action.type !== TCA_ACT.OPTIONS || kind !== 'mirred') continue;
      const ifIndex = readMirred(action.nested());
      if (ifIndex !== undefined) return ifIndex;
    }
  }
  return undefined;
}

function readMirred(options: AttributeReader): number | undefined {
  while (options.next()) {
    if (options.type !== TCA_MIRRED_PARMS) continue;
    if (options.size < MIRRED) throw malformed(`mirred action of ${options.size} bytes`);
    const parms = options.bytes();
    if (parms.readInt32LE(20) === TCA_EGRESS_REDIR) return parms.readInt32LE(24);
  }
  return undefined;
}
