import { AttributeReader, MessageWriter } from '../attributes.ts';
import { type NetlinkRequest, NLM_F } from '../conn.ts';
import { ERRNO, malformed, NetlinkError } from '../errors.ts';
import { type Cidr, formatCidr, type IpAddress, type IpFamily, ipToBytes } from '../ip.ts';
import { AF, IFA, IFA_F, RTM } from './constants.ts';
import type { Rtnl } from './rtnl.ts';

const IFADDRMSG = 8;
/** Address families by {@link IpFamily}. */
export const familyNumbers = { 4: AF.INET, 6: AF.INET6 } as const;

/** An address on a link. */
export interface Address {
  ifIndex: number;
  cidr: Cidr;
  /** 0 global, 253 link, 254 host. */
  scope: number;
  /** IPv4 only. */
  label?: string;
  broadcast?: IpAddress;
  /** The other end of a point-to-point address. */
  peer?: IpAddress;
  flags: {
    permanent: boolean;
    /** Duplicate address detection is under way (IPv6). */
    tentative: boolean;
    dadFailed: boolean;
    noDad: boolean;
    /** The kernel did not add the route to the address's network. */
    noPrefixRoute: boolean;
    secondary: boolean;
  };
}

export interface AddressOptions {
  /** None unless given, as with `ip addr add`; `broadcastOf(cidr)` is the usual one. */
  broadcast?: IpAddress;
  scope?: number;
  /** Usable at once, without duplicate address detection (IPv6). */
  noDad?: boolean;
  /** The kernel shall not add the route to the address's network. */
  noPrefixRoute?: boolean;
  label?: string;
}

/** `ip addr add CIDR dev …`. @throws NetlinkError EEXIST, ENODEV */
export function addrAdd(conn: Rtnl, ifIndex: number, cidr: Cidr, options: AddressOptions = {}): void {
  conn.execute(addrAddRequest(ifIndex, cidr, options));
}

/** {@link addrAdd} for {@link NetlinkConn.executeAll}. */
export function addrAddRequest(ifIndex: number, cidr: Cidr, options: AddressOptions = {}): NetlinkRequest {
  return addressRequest(ifIndex, cidr, options, { verb: 'add', flags: NLM_F.CREATE | NLM_F.EXCL });
}

/** `ip addr replace CIDR dev …`: adds the address or changes the one that is there. @throws NetlinkError ENODEV */
export function addrReplace(conn: Rtnl, ifIndex: number, cidr: Cidr, options: AddressOptions = {}): void {
  conn.execute(addrReplaceRequest(ifIndex, cidr, options));
}

/** {@link addrReplace} for {@link NetlinkConn.executeAll}. */
export function addrReplaceRequest(
  ifIndex: number,
  cidr: Cidr,
  options: AddressOptions = {},
): NetlinkRequest {
  return addressRequest(ifIndex, cidr, options, { verb: 'replace', flags: NLM_F.CREATE | NLM_F.REPLACE });
}

interface Verb {
  verb: 'add' | 'replace';
  flags: number;
}

function addressRequest(ifIndex: number, cidr: Cidr, options: AddressOptions, how: Verb): NetlinkRequest {
  const message = new MessageWriter(128).message(RTM.NEWADDR, NLM_F.REQUEST | NLM_F.ACK | how.flags);
  writeAddress(message, ifIndex, cidr, options.scope ?? 0);
  const flags = (options.noDad ? IFA_F.NODAD : 0) | (options.noPrefixRoute ? IFA_F.NOPREFIXROUTE : 0);
  if (flags !== 0) message.u32(IFA.FLAGS, flags);
  if (options.broadcast !== undefined) message.bytesOf(IFA.BROADCAST, ipToBytes(options.broadcast));
  if (options.label !== undefined) message.string(IFA.LABEL, options.label);
  return { op: `${how.verb} address ${formatCidr(cidr)} on link ${ifIndex}`, message };
}

function writeAddress(message: MessageWriter, ifIndex: number, cidr: Cidr, scope: number): void {
  const header = message.header(IFADDRMSG);
  header[0] = familyNumbers[cidr.ip.family];
  header[1] = cidr.prefix;
  header[3] = scope;
  header.writeUInt32LE(ifIndex, 4);
  const bytes = ipToBytes(cidr.ip);
  message.bytesOf(IFA.LOCAL, bytes);
  message.bytesOf(IFA.ADDRESS, bytes);
}

/** `ip addr del CIDR dev …`; false when the link had no such address. @throws NetlinkError ENODEV */
export function addrDel(conn: Rtnl, ifIndex: number, cidr: Cidr): boolean {
  const message = new MessageWriter(128).message(RTM.DELADDR, NLM_F.REQUEST | NLM_F.ACK);
  writeAddress(message, ifIndex, cidr, 0);
  try {
    conn.execute({ op: `delete address ${formatCidr(cidr)} on link ${ifIndex}`, message });
    return true;
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === ERRNO.EADDRNOTAVAIL) return false;
    throw error;
  }
}

/** `ip [-4|-6] addr show [dev …]`; the kernel filters. @throws NetlinkError ENODEV */
export function addrList(conn: Rtnl, filter: { ifIndex?: number; family?: IpFamily } = {}): Address[] {
  const message = new MessageWriter(64).message(RTM.GETADDR, NLM_F.REQUEST | NLM_F.DUMP);
  const header = message.header(IFADDRMSG);
  header[0] = filter.family === undefined ? AF.UNSPEC : familyNumbers[filter.family];
  header.writeUInt32LE(filter.ifIndex ?? 0, 4);
  return conn
    .execute({ op: 'list addresses', message })
    .filter((reply) => reply.type === RTM.NEWADDR)
    .map((reply) => parseAddress(reply.payload))
    .filter((address) => address !== undefined)
    .filter((address) => filter.ifIndex === undefined || address.ifIndex === filter.ifIndex);
}

/** Reads the payload of an RTM_NEWADDR or RTM_DELADDR; undefined for families other than IP. @throws NetlinkError EPROTO */
export function parseAddress(payload: Buffer): Address | undefined {
  if (payload.length < IFADDRMSG) throw malformed(`address message of ${payload.length} bytes`);
  if (payload[0] !== AF.INET && payload[0] !== AF.INET6) return undefined;
  const size = payload[0] === AF.INET ? 4 : 16;
  let flags = payload[2]!;
  let local: IpAddress | undefined;
  let other: IpAddress | undefined;
  const address: Partial<Address> = {};
  const attrs = new AttributeReader(payload, IFADDRMSG);
  while (attrs.next()) {
    if (attrs.type === IFA.LOCAL) local = attrs.ip(size);
    else if (attrs.type === IFA.ADDRESS) other = attrs.ip(size);
    else if (attrs.type === IFA.BROADCAST) address.broadcast = attrs.ip(size);
    else if (attrs.type === IFA.LABEL) address.label = attrs.string();
    else if (attrs.type === IFA.FLAGS) flags = attrs.u32();
  }
  const ip = local ?? other;
  if (ip === undefined) throw malformed('address message without an address');
  if (local !== undefined && other !== undefined && other.value !== local.value) address.peer = other;
  return {
    ...address,
    ifIndex: payload.readUInt32LE(4),
    cidr: { ip, prefix: payload[1]! },
    scope: payload[3]!,
    flags: {
      permanent: (flags & IFA_F.PERMANENT) !== 0,
      tentative: (flags & IFA_F.TENTATIVE) !== 0,
      dadFailed: (flags & IFA_F.DADFAILED) !== 0,
      noDad: (flags & IFA_F.NODAD) !== 0,
      noPrefixRoute: (flags & IFA_F.NOPREFIXROUTE) !== 0,
      secondary: (flags & IFA_F.SECONDARY) !== 0,
    },
  };
}
