import { isCode } from '@amphipod/linux';
import type { MessageWriter } from '../attributes.ts';
import { NLM_F } from '../conn.ts';
import { parseHtbClass, parseQdisc } from './qdisc-parse.ts';
import type { HtbClass, HtbClassSpec, Qdisc, QdiscSpec } from './qdisc-types.ts';
import type { Rtnl } from './rtnl.ts';
import { HTB, RTM_TC, TC_H, TCA, TCA_HTB, TCA_TBF } from './tc-constants.ts';
import { lowRate, tcHandle, tcMessage, writeRate64 } from './tc-message.ts';

/** Where a qdisc is on its link: what leaves goes through `root`, what arrives through `ingress`. */
export type QdiscPlace = 'root' | 'ingress';

const places = { root: TC_H.ROOT, ingress: TC_H.INGRESS } as const;
/** EINVAL is for qdiscs that are the kernel's own. */
const noQdisc = ['ENOENT', 'EINVAL'];
const INGRESS_HANDLE = tcHandle(0xffff);

/** `tc qdisc add dev … {root|ingress} [handle …] KIND …`. @throws NetlinkError EEXIST, ENODEV, ENOENT (the kernel lacks the kind) */
export function qdiscAdd(conn: Rtnl, spec: QdiscSpec): void {
  putQdisc(conn, 'add', spec, NLM_F.CREATE | NLM_F.EXCL);
}

/** `tc qdisc replace …`: changes the qdisc in this place or puts another there. @throws NetlinkError ENODEV, ENOENT */
export function qdiscReplace(conn: Rtnl, spec: QdiscSpec): void {
  putQdisc(conn, 'replace', spec, NLM_F.CREATE | NLM_F.REPLACE);
}

function putQdisc(conn: Rtnl, verb: string, spec: QdiscSpec, flags: number): void {
  const isIngress = spec.kind === 'ingress';
  const message = tcMessage(RTM_TC.NEWQDISC, NLM_F.REQUEST | NLM_F.ACK | flags, {
    ifIndex: spec.ifIndex,
    handle: isIngress ? INGRESS_HANDLE : (spec.handle ?? 0),
    parent: isIngress ? TC_H.INGRESS : TC_H.ROOT,
  });
  message.string(TCA.KIND, spec.kind);
  message.nested(TCA.OPTIONS, () => writeOptions(message, spec));
  conn.execute({ op: `${verb} ${spec.kind} qdisc on link ${spec.ifIndex}`, message });
}

function writeOptions(message: MessageWriter, spec: QdiscSpec): void {
  switch (spec.kind) {
    case 'tbf': {
      const parms = Buffer.alloc(36);
      parms.writeUInt32LE(lowRate(spec.bytesPerSecond), 8);
      parms.writeUInt32LE(spec.limitBytes, 24);
      parms.writeUInt32LE(spec.bufferTicks, 28);
      message.bytesOf(TCA_TBF.PARMS, parms);
      writeRate64(message, TCA_TBF.RATE64, spec.bytesPerSecond);
      break;
    }
    case 'htb': {
      const glob = Buffer.alloc(20);
      glob.writeUInt32LE(HTB.VERSION, 0);
      glob.writeUInt32LE(HTB.RATE2QUANTUM, 4);
      glob.writeUInt32LE(spec.defaultClass, 8);
      message.bytesOf(TCA_HTB.INIT, glob);
      break;
    }
    case 'ingress':
      break;
  }
}

/** `tc qdisc del dev … {root|ingress}`, with its classes and filters; false when there was none. @throws NetlinkError ENODEV */
export function qdiscDel(conn: Rtnl, ifIndex: number, place: QdiscPlace): boolean {
  const message = tcMessage(RTM_TC.DELQDISC, NLM_F.REQUEST | NLM_F.ACK, { ifIndex, parent: places[place] });
  try {
    conn.execute({ op: `delete ${place} qdisc on link ${ifIndex}`, message });
    return true;
  } catch (error) {
    if (isCode(error, ...noQdisc)) return false;
    throw error;
  }
}

/** `tc qdisc show dev … {root|ingress}`, asked for alone; undefined when there is none but the kernel's own. @throws NetlinkError ENODEV */
export function qdiscFind(conn: Rtnl, ifIndex: number, place: QdiscPlace): Qdisc | undefined {
  // The kernel answers as it announces changes: to the asker only with NLM_F_ECHO, and not at all for what it hides.
  const message = tcMessage(RTM_TC.GETQDISC, NLM_F.REQUEST | NLM_F.ACK | NLM_F.ECHO, {
    ifIndex,
    parent: places[place],
  });
  try {
    const [reply] = conn.execute({ op: `get ${place} qdisc on link ${ifIndex}`, message });
    const qdisc = reply === undefined ? undefined : parseQdisc(reply.payload);
    return qdisc?.handle === 0 ? undefined : qdisc;
  } catch (error) {
    if (isCode(error, ...noQdisc)) return undefined;
    throw error;
  }
}

/** `tc qdisc show [dev …]`; the kernel lists those of all links. @throws NetlinkError */
export function qdiscList(conn: Rtnl, filter: { ifIndex?: number } = {}): Qdisc[] {
  const message = tcMessage(RTM_TC.GETQDISC, NLM_F.REQUEST | NLM_F.DUMP, { ifIndex: 0 });
  return conn
    .execute({ op: 'list qdiscs', message })
    .filter((reply) => reply.type === RTM_TC.NEWQDISC)
    .map((reply) => parseQdisc(reply.payload))
    .filter(({ ifIndex }) => filter.ifIndex === undefined || ifIndex === filter.ifIndex);
}

/** `tc class add dev … parent … classid … htb rate … ceil … burst … cburst …`. @throws NetlinkError EEXIST, ENODEV */
export function htbClassAdd(conn: Rtnl, spec: HtbClassSpec): void {
  const { ifIndex, handle, parent, bytesPerSecond, ceilBytesPerSecond = bytesPerSecond } = spec;
  const flags = NLM_F.REQUEST | NLM_F.ACK | NLM_F.CREATE | NLM_F.EXCL;
  const message = tcMessage(RTM_TC.NEWTCLASS, flags, { ifIndex, handle, parent });
  message.string(TCA.KIND, 'htb');
  message.nested(TCA.OPTIONS, () => {
    const parms = Buffer.alloc(44);
    parms.writeUInt32LE(lowRate(bytesPerSecond), 8);
    parms.writeUInt32LE(lowRate(ceilBytesPerSecond), 20);
    parms.writeUInt32LE(spec.bufferTicks, 24);
    parms.writeUInt32LE(spec.ceilBufferTicks, 28);
    message.bytesOf(TCA_HTB.PARMS, parms);
    writeRate64(message, TCA_HTB.RATE64, bytesPerSecond);
    writeRate64(message, TCA_HTB.CEIL64, ceilBytesPerSecond);
  });
  conn.execute({ op: `add htb class on link ${ifIndex}`, message });
}

/** `tc class show dev …`, those of HTB. @throws NetlinkError ENODEV */
export function htbClassList(conn: Rtnl, ifIndex: number): HtbClass[] {
  const message = tcMessage(RTM_TC.GETTCLASS, NLM_F.REQUEST | NLM_F.DUMP, { ifIndex });
  return conn
    .execute({ op: `list classes on link ${ifIndex}`, message })
    .filter((reply) => reply.type === RTM_TC.NEWTCLASS)
    .map((reply) => parseHtbClass(reply.payload))
    .filter((found) => found !== undefined);
}
