import { AttributeReader, MessageWriter } from '../attributes.ts';
import { NLM_F } from '../conn.ts';
import { malformed } from '../errors.ts';
import { IFF, IFLA, RTM } from './constants.ts';
import type { Rtnl } from './rtnl.ts';

const IFINFOMSG = 16;
/** The part of struct rtnl_link_stats64 that is read: eight numbers of 64 bits (include/uapi/linux/if_link.h). */
const STATS64 = 64;

/** What passed through a network interface since it was made. */
export interface LinkCounters {
  name: string;
  loopback: boolean;
  rxPackets: bigint;
  txPackets: bigint;
  rxBytes: bigint;
  txBytes: bigint;
  rxErrors: bigint;
  txErrors: bigint;
  rxDropped: bigint;
  txDropped: bigint;
}

/** `ip -statistics link show`: the counters of every link. @throws NetlinkError */
export function linkCounters(conn: Rtnl): LinkCounters[] {
  const message = new MessageWriter(32).message(RTM.GETLINK, NLM_F.REQUEST | NLM_F.DUMP);
  message.header(IFINFOMSG);
  return conn
    .execute({ op: 'list link counters', message })
    .filter(({ type }) => type === RTM.NEWLINK)
    .map(({ payload }) => parseLinkCounters(payload));
}

/** Reads the payload of an RTM_NEWLINK. @throws NetlinkError EPROTO */
export function parseLinkCounters(payload: Buffer): LinkCounters {
  if (payload.length < IFINFOMSG) throw malformed(`link message of ${payload.length} bytes`);
  let name = '';
  let stats: Buffer = Buffer.alloc(STATS64);
  const attrs = new AttributeReader(payload, IFINFOMSG);
  while (attrs.next()) {
    if (attrs.type === IFLA.IFNAME) name = attrs.string();
    else if (attrs.type === IFLA.STATS64) stats = attrs.bytes();
  }
  if (stats.length < STATS64) throw malformed(`link counters of ${stats.length} bytes`);
  const at = (index: number) => stats.readBigUInt64LE(index * 8);
  return {
    name,
    loopback: (payload.readUInt32LE(8) & IFF.LOOPBACK) !== 0,
    rxPackets: at(0),
    txPackets: at(1),
    rxBytes: at(2),
    txBytes: at(3),
    rxErrors: at(4),
    txErrors: at(5),
    rxDropped: at(6),
    txDropped: at(7),
  };
}
