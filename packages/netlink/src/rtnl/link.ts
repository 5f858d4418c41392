import { MessageWriter } from '../attributes.ts';
import { type NetlinkRequest, NLM_F } from '../conn.ts';
import { ERRNO, NetlinkError } from '../errors.ts';
import { IFLA, RTM, SKIP_STATS } from './constants.ts';
import { writeBridgeSettings, writeKind, writeParent } from './link-kinds.ts';
import { parseLink } from './link-parse.ts';
import type { BridgePort, Link, LinkChange, LinkSpec } from './link-types.ts';
import { writeBridgePort, writeCommon, writeIpv4Settings } from './link-write.ts';
import type { Rtnl } from './rtnl.ts';

/** IFNAMSIZ without the closing zero. */
const NAME_BYTES = 15;

function quote(nameOrIndex: string | number): string {
  return typeof nameOrIndex === 'string' ? JSON.stringify(nameOrIndex) : `${nameOrIndex}`;
}

/** `ip link show NAME`: the link, or undefined when there is none of that name or index. @throws NetlinkError */
export function linkFind(conn: Rtnl, nameOrIndex: string | number): Link | undefined {
  // Index 0 means "by name", so it cannot be there.
  const isName = typeof nameOrIndex === 'string';
  if (isName ? !canBeName(nameOrIndex) : nameOrIndex <= 0) return undefined;
  const message = new MessageWriter(64).message(RTM.GETLINK, NLM_F.REQUEST);
  const header = message.header(16);
  if (!isName) header.writeInt32LE(nameOrIndex, 4);
  message.u32(IFLA.EXT_MASK, SKIP_STATS);
  if (isName) message.string(IFLA.IFNAME, nameOrIndex);
  try {
    const [reply] = conn.execute({ op: `get link ${quote(nameOrIndex)}`, message });
    return reply === undefined ? undefined : parseLink(reply.payload);
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === ERRNO.ENODEV) return undefined;
    throw error;
  }
}

/** The kernel takes no longer name, and one with a zero byte cannot be said. */
function canBeName(text: string): boolean {
  return text !== '' && !text.includes('\0') && Buffer.byteLength(text) <= NAME_BYTES;
}

/** `ip link show NAME`. @throws NetlinkError ENODEV when there is none */
export function linkGet(conn: Rtnl, nameOrIndex: string | number): Link {
  const link = linkFind(conn, nameOrIndex);
  if (link === undefined) throw new NetlinkError(`get link ${quote(nameOrIndex)}`, ERRNO.ENODEV);
  return link;
}

/** `ip link show [type KIND] [master BRIDGE]`; the kernel filters. @throws NetlinkError */
export function linkList(conn: Rtnl, filter: { kind?: string; masterIndex?: number } = {}): Link[] {
  const message = new MessageWriter(64).message(RTM.GETLINK, NLM_F.REQUEST | NLM_F.DUMP);
  message.header(16);
  message.u32(IFLA.EXT_MASK, SKIP_STATS);
  if (filter.masterIndex !== undefined) message.u32(IFLA.MASTER, filter.masterIndex);
  if (filter.kind !== undefined) {
    const { kind } = filter;
    message.nested(IFLA.LINKINFO, () => message.string(1, kind));
  }
  return conn
    .execute({ op: 'list links', message })
    .filter((reply) => reply.type === RTM.NEWLINK)
    .map((reply) => parseLink(reply.payload))
    .filter((link) => filter.kind === undefined || link.kind === filter.kind)
    .filter((link) => filter.masterIndex === undefined || link.masterIndex === filter.masterIndex);
}

/**
 * `ip link add NAME [mtu …] [address …] [master …] [up] type KIND …` in one message: all of it or nothing.
 * Returns the new link, whose operState may already be out of date; of a veth the first end, with the index of the second
 * as `peerIndex`.
 * @throws NetlinkError EEXIST, ENODEV (no such parent or master), ENOTSUP (the kernel lacks the kind), EPERM
 */
export function linkAdd(conn: Rtnl, spec: LinkSpec & { netnsFd?: never }): Link {
  // NLM_F_ECHO: kernels from 6.2 on send the new link along, older ones ignore the flag.
  const replies = conn.execute({ op: `add link ${quote(spec.name)}`, message: addMessage(spec, NLM_F.ECHO) });
  const echo = replies.find((reply) => reply.type === RTM.NEWLINK && reply.payload[0] === 0);
  if (echo === undefined) return linkGet(conn, spec.name);
  const link = parseLink(echo.payload);
  // The echo was made before the link joined its master.
  if (spec.masterIndex) link.masterIndex = spec.masterIndex;
  return link;
}

/**
 * `ip link add NAME netns NETNS …`: makes the link in the namespace of `spec.netnsFd`; parents are looked for in that of
 * the connection. @throws NetlinkError as {@link linkAdd}
 */
export function linkAddIn(conn: Rtnl, spec: LinkSpec & { netnsFd: number }): void {
  conn.execute({ op: `add link ${quote(spec.name)}`, message: addMessage(spec, 0) });
}

function addMessage(spec: LinkSpec, flags: number): MessageWriter {
  const message = new MessageWriter().message(
    RTM.NEWLINK,
    NLM_F.REQUEST | NLM_F.ACK | NLM_F.CREATE | NLM_F.EXCL | flags,
  );
  writeCommon(message, 0, spec);
  writeParent(message, spec);
  writeKind(message, spec);
  return message;
}

/**
 * `ip link set dev … [up|down] [name …] [mtu …] [address …] [master …] [netns …] [alias …] [promisc …]`, in one message.
 * The kernel applies the parts one after another, so a failure can leave earlier ones done.
 * @throws NetlinkError ENODEV, EEXIST (name taken), EBUSY, EINVAL
 */
export function linkSet(conn: Rtnl, ifIndex: number, change: LinkChange): void {
  conn.execute(linkSetRequest(ifIndex, change));
}

/** {@link linkSet} for {@link NetlinkConn.executeAll}. */
export function linkSetRequest(ifIndex: number, change: LinkChange): NetlinkRequest {
  const message = new MessageWriter(256).message(RTM.NEWLINK, NLM_F.REQUEST | NLM_F.ACK);
  writeCommon(message, ifIndex, change);
  if (change.bridgePort !== undefined) writeBridgePort(message, change.bridgePort);
  if (change.ipv4 !== undefined) writeIpv4Settings(message, change.ipv4);
  if (change.bridge !== undefined) writeBridgeSettings(message, change.bridge);
  return { op: `set link ${ifIndex}`, message };
}

/** `ip link property add dev … altname NAME`. @throws NetlinkError EEXIST when a link has it as one of its names */
export function linkAddAltName(conn: Rtnl, ifIndex: number, name: string): void {
  changeAltName(conn, RTM.NEWLINKPROP, { ifIndex, name, op: 'add' });
}

/** `ip link property del dev … altname NAME`. @throws NetlinkError ENOENT when it has no such name */
export function linkDelAltName(conn: Rtnl, ifIndex: number, name: string): void {
  changeAltName(conn, RTM.DELLINKPROP, { ifIndex, name, op: 'delete' });
}

function changeAltName(
  conn: Rtnl,
  type: number,
  { ifIndex, name, op }: { ifIndex: number; name: string; op: string },
): void {
  const flags = type === RTM.NEWLINKPROP ? NLM_F.CREATE | NLM_F.APPEND | NLM_F.EXCL : 0;
  const message = new MessageWriter(256).message(type, NLM_F.REQUEST | NLM_F.ACK | flags);
  message.header(16).writeInt32LE(ifIndex, 4);
  message.nested(IFLA.PROP_LIST, () => message.string(IFLA.ALT_IFNAME, name));
  conn.execute({ op: `${op} altname ${quote(name)} of link ${ifIndex}`, message });
}

/** `ip link set dev … type bridge_slave [hairpin …] [isolated …] …`. @throws NetlinkError ENOTSUP when it is no bridge port */
export function linkSetBridgePort(conn: Rtnl, ifIndex: number, port: BridgePort): void {
  linkSet(conn, ifIndex, { bridgePort: port });
}

/**
 * `ip link del NAME`; a veth's other end goes with it. Resolves to true as soon as the link is gone and its name is free
 * (the kernel goes on tidying up in a pool thread), to false when there was no such link.
 * @throws NetlinkError ENOTSUP (the kind cannot be deleted), EPERM
 */
export async function linkDel(conn: Rtnl, nameOrIndex: string | number): Promise<boolean> {
  const op = `delete link ${quote(nameOrIndex)}`;
  conn.assertOpen(op);
  const ifIndex = typeof nameOrIndex === 'number' ? nameOrIndex : linkFind(conn, nameOrIndex)?.ifIndex;
  if (ifIndex === undefined || ifIndex <= 0) return false;
  return conn.deletions.delete({
    ifIndex,
    op,
    isGone: () => linkFind(conn, ifIndex) === undefined,
  });
}
