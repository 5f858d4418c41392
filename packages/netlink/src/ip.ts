export type IpFamily = 4 | 6;

/** One IPv4 or IPv6 address. A plain value: compare with {@link compareIp}, print with {@link formatIp}. */
export interface IpAddress {
  readonly family: IpFamily;
  /** The address as a number, most significant byte first: 10.0.0.1 is 0x0a000001n. */
  readonly value: bigint;
}

/** An address with a prefix length; host bits may be set (`10.1.2.3/24`), {@link networkOf} clears them. */
export interface Cidr {
  readonly ip: IpAddress;
  /** 0 to 32, or 0 to 128. */
  readonly prefix: number;
}

/** 32 or 128. */
export function ipBits(family: IpFamily): 32 | 128 {
  return family === 4 ? 32 : 128;
}

/**
 * Reads `192.0.2.1` or `2001:db8::1` (with an IPv4 tail if there is one). Strict: no leading zeros in IPv4, no zone, no spaces.
 * @throws RangeError `parse ip address "…": not an IPv4 or IPv6 address`
 */
export function parseIp(text: string): IpAddress {
  const ip = tryParseIp(text);
  if (ip === undefined) {
    throw new RangeError(`parse ip address ${JSON.stringify(text)}: not an IPv4 or IPv6 address`);
  }
  return ip;
}

/** As {@link parseIp}, undefined for what is no address. */
export function tryParseIp(text: string): IpAddress | undefined {
  const family = text.includes(':') ? 6 : 4;
  const value = family === 6 ? parse6(text) : parse4(text);
  return value === undefined ? undefined : { family, value };
}

function parse4(text: string): bigint | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = value * 256 + Number(part);
  }
  return BigInt(value);
}

function parse6(text: string): bigint | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail] = halves as [string, string | undefined];
  const before = groups6(head, tail === undefined);
  const after = tail === undefined ? [] : groups6(tail, true);
  if (before === undefined || after === undefined) return undefined;
  const missing = 8 - before.length - after.length;
  // "::" stands for at least one group.
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  let value = 0n;
  for (const group of before) value = (value << 16n) | BigInt(group);
  value <<= BigInt(missing) * 16n;
  for (const group of after) value = (value << 16n) | BigInt(group);
  return value;
}

function groups6(text: string, isEnd: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (isEnd && index === parts.length - 1 && part.includes('.')) {
      const v4 = parse4(part);
      if (v4 === undefined) return undefined;
      groups.push(Number(v4 >> 16n), Number(v4 & 0xffffn));
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

/** Canonical text; IPv6 as RFC 5952 has it (lower case, longest run of zeros shortened, `::ffff:192.0.2.1`). */
export function formatIp(ip: IpAddress): string {
  if (ip.family === 4) return format4(Number(ip.value));
  if (ip.value >> 32n === 0xffffn) return `::ffff:${format4(Number(ip.value & 0xffffffffn))}`;
  const groups = Array.from({ length: 8 }, (_, i) => Number((ip.value >> BigInt(112 - 16 * i)) & 0xffffn));
  const run = longestZeroRun(groups);
  const hex = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  return run.length < 2 ? hex(0, 8) : `${hex(0, run.start)}::${hex(run.start + run.length, 8)}`;
}

function format4(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let length = 0;
  for (const [index, group] of groups.entries()) {
    length = group === 0 ? length + 1 : 0;
    if (length > best.length) best = { start: index - length + 1, length };
  }
  return best;
}

/** From 4 or 16 bytes in network order. @throws RangeError for another number of bytes */
export function ipFromBytes(bytes: Uint8Array): IpAddress {
  if (bytes.length !== 4 && bytes.length !== 16) {
    throw new RangeError(`read ip address: ${bytes.length} bytes, expected 4 or 16`);
  }
  const { buffer, byteOffset, length } = bytes;
  const view = new DataView(buffer, byteOffset, length);
  if (length === 4) return { family: 4, value: BigInt(view.getUint32(0)) };
  return { family: 6, value: (view.getBigUint64(0) << 64n) | view.getBigUint64(8) };
}

/** 4 or 16 bytes in network order. */
export function ipToBytes(ip: IpAddress): Buffer {
  const bytes = Buffer.alloc(ip.family === 4 ? 4 : 16);
  if (ip.family === 4) bytes.writeUInt32BE(Number(ip.value));
  else {
    bytes.writeBigUInt64BE(ip.value >> 64n, 0);
    bytes.writeBigUInt64BE(ip.value & 0xffffffffffffffffn, 8);
  }
  return bytes;
}

/** Negative, 0 or positive, for sort(); every IPv4 address comes before every IPv6 address. */
export function compareIp(a: IpAddress, b: IpAddress): number {
  if (a.family !== b.family) return a.family - b.family;
  return a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
}

/** The address `steps` further (or back); undefined past the end of the address space. */
export function ipPlus(ip: IpAddress, steps: bigint): IpAddress | undefined {
  const value = ip.value + steps;
  return value < 0n || value >> BigInt(ipBits(ip.family)) !== 0n ? undefined : { family: ip.family, value };
}

/** The following address; undefined after the last one. */
export function nextIp(ip: IpAddress): IpAddress | undefined {
  return ipPlus(ip, 1n);
}

/** The address before; undefined before the first one. */
export function previousIp(ip: IpAddress): IpAddress | undefined {
  return ipPlus(ip, -1n);
}

/** Number of addresses from `first` to `last`, both included; 0 when they are the wrong way round or of two families. */
export function rangeSize(first: IpAddress, last: IpAddress): bigint {
  if (first.family !== last.family || last.value < first.value) return 0n;
  return last.value - first.value + 1n;
}

/** Reads `10.1.2.3/24`; the prefix length must be there. @throws RangeError */
export function parseCidr(text: string): Cidr {
  const cidr = tryParseCidr(text);
  if (cidr === undefined) {
    throw new RangeError(`parse cidr ${JSON.stringify(text)}: not an address with a prefix length`);
  }
  return cidr;
}

/** As {@link parseCidr}, undefined for what is none. */
export function tryParseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  const ip = slash < 0 ? undefined : tryParseIp(text.slice(0, slash));
  const digits = text.slice(slash + 1);
  if (ip === undefined || !/^(0|[1-9][0-9]{0,2})$/.test(digits)) return undefined;
  const prefix = Number(digits);
  return prefix > ipBits(ip.family) ? undefined : { ip, prefix };
}

/** `10.1.2.3/24`, host bits as they are. */
export function formatCidr(cidr: Cidr): string {
  return `${formatIp(cidr.ip)}/${cidr.prefix}`;
}

/** `ip` with a prefix length, by default that of the single address (/32 or /128). @throws RangeError */
export function cidrOf(ip: IpAddress, prefix: number = ipBits(ip.family)): Cidr {
  if (!Number.isInteger(prefix) || prefix < 0 || prefix > ipBits(ip.family)) {
    throw new RangeError(
      `make cidr of ${formatIp(ip)}: prefix length ${prefix} is not in 0 to ${ipBits(ip.family)}`,
    );
  }
  return { ip, prefix };
}

/** Number of addresses in the network. */
export function cidrSize(cidr: Cidr): bigint {
  return 1n << BigInt(ipBits(cidr.ip.family) - cidr.prefix);
}

/** The network with host bits cleared: 10.1.2.3/24 gives 10.1.2.0/24. */
export function networkOf(cidr: Cidr): Cidr {
  const { family, value } = cidr.ip;
  return { ip: { family, value: value - (value % cidrSize(cidr)) }, prefix: cidr.prefix };
}

/** The last address of the network; for IPv4 with a prefix up to /30 its broadcast address. */
export function broadcastOf(cidr: Cidr): IpAddress {
  const first = networkOf(cidr).ip;
  return { family: first.family, value: first.value + cidrSize(cidr) - 1n };
}

/** The netmask as an address: /24 gives 255.255.255.0. */
export function netmaskOf(cidr: Cidr): IpAddress {
  const bits = BigInt(ipBits(cidr.ip.family));
  return { family: cidr.ip.family, value: (1n << bits) - cidrSize(cidr) };
}

/** True when the network of `cidr` holds the address, or the whole other network. */
export function contains(cidr: Cidr, inner: IpAddress | Cidr): boolean {
  const other = 'ip' in inner ? inner : cidrOf(inner);
  if (other.ip.family !== cidr.ip.family || other.prefix < cidr.prefix) return false;
  return networkOf(cidr).ip.value === networkOf({ ip: other.ip, prefix: cidr.prefix }).ip.value;
}

/** True when two networks share an address. */
export function overlaps(a: Cidr, b: Cidr): boolean {
  return contains(a, b) || contains(b, a);
}
