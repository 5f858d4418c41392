import { formatIp, type IpAddress, ipFromBytes, ipToBytes } from '../ip.ts';
import { formatMac, parseMac } from '../mac.ts';

const IFNAMSIZ = 16;

interface ValueType {
  /** nftables' own number for the type: libnftables, enum datatypes. */
  id: number;
  bytes: number;
  /** How the bytes lie, which `nft` keeps beside a set. */
  order: 'host' | 'big';
  encoding: 'number' | 'ip' | 'mac' | 'text';
}

/** The types of set keys and map values, by the names that nft gives them. */
export const valueTypes = {
  nf_proto: { id: 2, bytes: 1, order: 'host', encoding: 'number' },
  ipv4_addr: { id: 7, bytes: 4, order: 'big', encoding: 'ip' },
  ipv6_addr: { id: 8, bytes: 16, order: 'big', encoding: 'ip' },
  ether_addr: { id: 9, bytes: 6, order: 'big', encoding: 'mac' },
  ether_type: { id: 10, bytes: 2, order: 'big', encoding: 'number' },
  inet_proto: { id: 12, bytes: 1, order: 'big', encoding: 'number' },
  inet_service: { id: 13, bytes: 2, order: 'big', encoding: 'number' },
  icmp_type: { id: 14, bytes: 1, order: 'big', encoding: 'number' },
  mark: { id: 19, bytes: 4, order: 'host', encoding: 'number' },
  iface_index: { id: 20, bytes: 4, order: 'host', encoding: 'number' },
  arphrd: { id: 21, bytes: 2, order: 'host', encoding: 'number' },
  ct_state: { id: 26, bytes: 4, order: 'host', encoding: 'number' },
  ct_status: { id: 28, bytes: 4, order: 'host', encoding: 'number' },
  icmpv6_type: { id: 29, bytes: 1, order: 'big', encoding: 'number' },
  fib_addrtype: { id: 38, bytes: 4, order: 'host', encoding: 'number' },
  ifname: { id: 41, bytes: IFNAMSIZ, order: 'host', encoding: 'text' },
} as const satisfies Record<string, ValueType>;

export type NftValueType = keyof typeof valueTypes;

/** A value for one part of a key: what the type asks for, or its bytes as they are. */
export type NftValue = number | string | IpAddress | Buffer;

const TYPE_BITS = 6;

/** Bytes of one part in a concatenation, which fills whole 4-byte registers. */
export function paddedBytes(type: NftValueType): number {
  return (valueTypes[type].bytes + 3) & ~3;
}

/** Bytes of a key of these parts. */
export function keyBytes(types: readonly NftValueType[]): number {
  return types.length === 1
    ? valueTypes[types[0]!].bytes
    : types.reduce((sum, type) => sum + paddedBytes(type), 0);
}

/** The number of a concatenation: six bits for each part. */
export function keyTypeId(types: readonly NftValueType[]): number {
  return types.reduce((id, type) => (id << TYPE_BITS) | valueTypes[type].id, 0);
}

/** The parts of a concatenation; undefined when there is one that this library does not know. */
export function keyTypesOf(id: number): NftValueType[] | undefined {
  const types: NftValueType[] = [];
  for (let rest = id; rest > 0; rest >>>= TYPE_BITS) {
    const part = rest & ((1 << TYPE_BITS) - 1);
    const name = (Object.keys(valueTypes) as NftValueType[]).find((type) => valueTypes[type].id === part);
    if (name === undefined) return undefined;
    types.unshift(name);
  }
  return types.length === 0 ? undefined : types;
}

/** The bytes of one value. @throws RangeError when it does not fit the type */
export function encodeValue(type: NftValueType, value: NftValue): Buffer {
  const { bytes, encoding } = valueTypes[type];
  if (Buffer.isBuffer(value)) {
    if (value.length === bytes) return value;
  } else if (typeof value === 'number') {
    if (encoding === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** (8 * bytes)) {
      return encodeNumber(type, value);
    }
  } else if (typeof value === 'string') {
    if (encoding === 'mac') return parseMac(value);
    if (encoding === 'text' && Buffer.byteLength(value) < bytes) return paddedText(value, bytes);
  } else if (encoding === 'ip' && bytes === (value.family === 4 ? 4 : 16)) {
    return ipToBytes(value);
  }
  throw new RangeError(`encode nftables value: ${describe(value)} is no ${type}`);
}

function encodeNumber(type: NftValueType, value: number): Buffer {
  const { bytes, order } = valueTypes[type];
  const buffer = Buffer.alloc(bytes);
  if (order === 'big') buffer.writeUIntBE(value, 0, bytes);
  else buffer.writeUIntLE(value, 0, bytes);
  return buffer;
}

function paddedText(text: string, bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  buffer.write(text);
  return buffer;
}

function describe(value: NftValue): string {
  if (Buffer.isBuffer(value)) return `0x${value.toString('hex')}`;
  return typeof value === 'object' ? formatIp(value) : JSON.stringify(value);
}

/** The bytes of a whole key. @throws RangeError when number or kind of values is wrong */
export function encodeKey(types: readonly NftValueType[], values: readonly NftValue[]): Buffer {
  if (values.length !== types.length) {
    throw new RangeError(`encode nftables key: ${values.length} values for ${types.join(' . ')}`);
  }
  if (types.length === 1) return encodeValue(types[0]!, values[0]!);
  const key = Buffer.alloc(keyBytes(types));
  let at = 0;
  for (const [index, type] of types.entries()) {
    key.set(encodeValue(type, values[index]!), at);
    at += paddedBytes(type);
  }
  return key;
}

/** The values in a key's bytes; parts that the bytes are too short for are left out. */
export function decodeKey(types: readonly NftValueType[], key: Buffer): NftValue[] {
  const values: NftValue[] = [];
  let at = 0;
  for (const type of types) {
    const { bytes } = valueTypes[type];
    if (at + bytes > key.length) break;
    values.push(decodeValue(type, key.subarray(at, at + bytes)));
    at += paddedBytes(type);
  }
  return values;
}

function decodeValue(type: NftValueType, bytes: Buffer): NftValue {
  const { encoding, order } = valueTypes[type];
  switch (encoding) {
    case 'ip':
      return ipFromBytes(bytes);
    case 'mac':
      return formatMac(bytes);
    case 'text':
      return bytes.toString('utf8').replace(/\0.*$/s, '');
    case 'number':
      return order === 'big' ? bytes.readUIntBE(0, bytes.length) : bytes.readUIntLE(0, bytes.length);
  }
}
