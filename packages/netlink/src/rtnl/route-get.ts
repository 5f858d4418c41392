import { isCode } from '@amphipod/linux';
import { MessageWriter } from '../attributes.ts';
import { NLM_F } from '../conn.ts';
import { type IpAddress, ipToBytes } from '../ip.ts';
import { familyNumbers } from './address.ts';
import { RTA, RTM } from './constants.ts';
import { parseRoute } from './route-parse.ts';
import type { Route } from './route-types.ts';
import type { Rtnl } from './rtnl.ts';

const RTMSG = 12;
const FLAGS_AT = 8;
/** The entry of the table, not what becomes of it for this address: include/uapi/linux/rtnetlink.h. */
const RTM_F_FIB_MATCH = 0x2000;

/** `ip route get fibmatch ADDRESS`: the route that packets to this address take; undefined without one. @throws NetlinkError */
export function routeGet(conn: Rtnl, to: IpAddress): Route | undefined {
  const bytes = ipToBytes(to);
  const message = new MessageWriter(64).message(RTM.GETROUTE, NLM_F.REQUEST);
  const header = message.header(RTMSG);
  header[0] = familyNumbers[to.family];
  header[1] = bytes.length * 8;
  header.writeUInt32LE(RTM_F_FIB_MATCH, FLAGS_AT);
  message.bytesOf(RTA.DST, bytes);
  try {
    const [reply] = conn.execute({ op: 'get route', message });
    return reply && parseRoute(reply.payload);
  } catch (error) {
    if (isCode(error, 'ENETUNREACH', 'EHOSTUNREACH')) return undefined;
    throw error;
  }
}
