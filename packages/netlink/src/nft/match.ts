import { broadcastOf, type Cidr, networkOf } from '../ip.ts';
import type {
  NftCmpOp,
  NftExpression,
  NftExpressionOf,
  NftNatFlag,
  NftRegister,
} from './expression-types.ts';
import type { NftElement } from './objects.ts';
import type { NftSelector } from './selectors.ts';
import { encodeValue, type NftValue, type NftValueType, paddedBytes } from './value-types.ts';

const REGISTER_BYTES = 4;

/** Loads selectors into registers one behind the other, as a concatenation wants them. */
function loadAll(selectors: readonly NftSelector[]): NftExpression[] {
  let register: NftRegister = 0;
  return selectors.map((selector) => {
    const expression = selector.load(register);
    register += paddedBytes(selector.type) / REGISTER_BYTES;
    return expression;
  });
}

function compare(selector: NftSelector, op: NftCmpOp, value: NftValue | Cidr): NftExpression[] {
  if (typeof value === 'object' && 'prefix' in value) return comparePrefix(selector, op, value);
  return [selector.load(0), { expr: 'cmp', register: 0, op, data: encodeValue(selector.type, value) }];
}

function comparePrefix(selector: NftSelector, op: NftCmpOp, cidr: Cidr): NftExpression[] {
  const data = encodeValue(selector.type, networkOf(cidr).ip);
  const load = selector.load(0);
  // Whole bytes need no mask: it is enough to look at those.
  if (load.expr === 'payload' && cidr.prefix > 0 && cidr.prefix % 8 === 0) {
    const length = cidr.prefix / 8;
    return [
      { ...load, length },
      { expr: 'cmp', register: 0, op, data: data.subarray(0, length) },
    ];
  }
  const mask = Buffer.alloc(data.length);
  for (let bit = 0; bit < cidr.prefix; bit++) mask[bit >> 3]! |= 0x80 >> (bit & 7);
  return [
    load,
    { expr: 'bitwise', register: 0, mask, xor: Buffer.alloc(data.length) },
    { expr: 'cmp', register: 0, op, data },
  ];
}

/** `ip saddr 10.0.0.0/8`, `th dport 80`, `meta iifname "eth0"`. */
export function eq(selector: NftSelector, value: NftValue | Cidr): NftExpression[] {
  return compare(selector, '==', value);
}

/** `ip saddr != 10.0.0.0/8`. */
export function ne(selector: NftSelector, value: NftValue | Cidr): NftExpression[] {
  return compare(selector, '!=', value);
}

/** `th dport 8000-8999`, ends included; only for types whose bytes are in network order. */
export function inRange(selector: NftSelector, first: NftValue, last: NftValue): NftExpression[] {
  const from = encodeValue(selector.type, first);
  const to = encodeValue(selector.type, last);
  return [
    selector.load(0),
    { expr: 'cmp', register: 0, op: '>=', data: from },
    { expr: 'cmp', register: 0, op: '<=', data: to },
  ];
}

/** `meta iifname "veth*"`. */
export function startsWith(selector: NftSelector, prefix: string): NftExpression[] {
  return [selector.load(0), { expr: 'cmp', register: 0, op: '==', data: Buffer.from(prefix) }];
}

/** `ct state established,related`: true when one of the bits is set. */
export function hasAny(selector: NftSelector, bits: number): NftExpression[] {
  const mask = encodeValue(selector.type, bits);
  const zero = Buffer.alloc(mask.length);
  return [
    selector.load(0),
    { expr: 'bitwise', register: 0, mask, xor: zero },
    { expr: 'cmp', register: 0, op: '!=', data: zero },
  ];
}

/** `meta mark & 0xff == 0x1`. */
export function eqMasked(selector: NftSelector, mask: number, value: number): NftExpression[] {
  const data = encodeValue(selector.type, value);
  return [
    selector.load(0),
    { expr: 'bitwise', register: 0, mask: encodeValue(selector.type, mask), xor: Buffer.alloc(data.length) },
    { expr: 'cmp', register: 0, op: '==', data },
  ];
}

/** `ip saddr . th dport @set`. */
export function inSet(selectors: NftSelector | readonly NftSelector[], set: string): NftExpression[] {
  return [...loadAll([selectors].flat()), { expr: 'lookup', set, register: 0 }];
}

/** `ip saddr != @set`. */
export function notInSet(selectors: NftSelector | readonly NftSelector[], set: string): NftExpression[] {
  return [...loadAll([selectors].flat()), { expr: 'lookup', set, register: 0, isInverted: true }];
}

/** `ip daddr vmap @map`: the verdict that the map has for the packet, if it has one. */
export function vmap(selectors: NftSelector | readonly NftSelector[], map: string): NftExpression[] {
  return [...loadAll([selectors].flat()), { expr: 'lookup', set: map, register: 0, to: 'verdict' }];
}

/** `accept`, `drop`, `return`, `continue`. */
export function verdict(name: 'accept' | 'drop' | 'return' | 'continue'): NftExpressionOf<'verdict'> {
  return { expr: 'verdict', verdict: name };
}

export function jump(chain: string): NftExpressionOf<'verdict'> {
  return { expr: 'verdict', verdict: 'jump', chain };
}

export function goto(chain: string): NftExpressionOf<'verdict'> {
  return { expr: 'verdict', verdict: 'goto', chain };
}

/** What a NAT statement needs beside the target. */
export interface NatOptions {
  family: 'ip' | 'ip6';
  flags?: NftNatFlag[];
}

type NatType = NftExpressionOf<'nat'>['type'];

/** Type of an address of the family. */
function addressType(family: 'ip' | 'ip6'): NftValueType {
  return family === 'ip' ? 'ipv4_addr' : 'ipv6_addr';
}

function natTo(type: NatType, target: { ip: NftValue; port?: number }, options: NatOptions): NftExpression[] {
  const kind = addressType(options.family);
  const address: NftExpression = { expr: 'immediate', register: 0, data: encodeValue(kind, target.ip) };
  const nat: NftExpressionOf<'nat'> = { expr: 'nat', type, address: 0, ...options };
  if (target.port === undefined) return [address, nat];
  const register = paddedBytes(kind) / REGISTER_BYTES;
  const port: NftExpression = { expr: 'immediate', register, data: encodeValue('inet_service', target.port) };
  return [address, port, { ...nat, port: register }];
}

/** `dnat ip to 10.0.0.2:80`. */
export function dnat(target: { ip: NftValue; port?: number }, options: NatOptions): NftExpression[] {
  return natTo('dnat', target, options);
}

/** `snat ip to 192.0.2.1`. */
export function snat(target: { ip: NftValue; port?: number }, options: NatOptions): NftExpression[] {
  return natTo('snat', target, options);
}

/** `dnat ip to meta l4proto . th dport map @map`; with `hasPort` the map's values are address . port. */
export function dnatMap(
  selectors: NftSelector | readonly NftSelector[],
  map: string,
  options: NatOptions & { hasPort: boolean },
): NftExpression[] {
  const { hasPort, ...nat } = options;
  const port = hasPort ? { port: paddedBytes(addressType(options.family)) / REGISTER_BYTES } : {};
  return [
    ...loadAll([selectors].flat()),
    { expr: 'lookup', set: map, register: 0, to: 0 },
    { expr: 'nat', type: 'dnat', address: 0, ...port, ...nat },
  ];
}

/** `masquerade [random] [fully-random] [persistent]`. */
export function masquerade(...flags: NftNatFlag[]): NftExpressionOf<'masquerade'> {
  return { expr: 'masquerade', ...(flags.length === 0 ? {} : { flags }) };
}

/** `redirect to :8080`. */
export function redirect(port: number): NftExpression[] {
  return [
    { expr: 'immediate', register: 0, data: encodeValue('inet_service', port) },
    { expr: 'redirect', port: 0 },
  ];
}

/** `meta mark set 0x1`. */
export function setMark(mark: number): NftExpression[] {
  return [
    { expr: 'immediate', register: 0, data: encodeValue('mark', mark) },
    { expr: 'meta-set', key: 'mark', register: 0 },
  ];
}

/** `meta mark set meta mark | 0x2000`. */
export function setMarkBits(bits: number): NftExpression[] {
  const xor = encodeValue('mark', bits);
  const mask = Buffer.from(xor.map((byte) => byte ^ 0xff));
  return [
    { expr: 'meta', key: 'mark', register: 0 },
    { expr: 'bitwise', register: 0, mask, xor },
    { expr: 'meta-set', key: 'mark', register: 0 },
  ];
}

/** `counter`. */
export function counter(): NftExpressionOf<'counter'> {
  return { expr: 'counter' };
}

/** `log prefix "…" level warn`. */
export function log(options: Omit<NftExpressionOf<'log'>, 'expr'> = {}): NftExpressionOf<'log'> {
  return { expr: 'log', ...options };
}

/** `limit rate 10/second burst 5 packets`. */
export function limit(
  rate: number,
  unit: NftExpressionOf<'limit'>['unit'],
  burst = 5,
): NftExpressionOf<'limit'> {
  return { expr: 'limit', rate: BigInt(rate), unit, burst };
}

/** `reject`, or `reject with tcp reset`. In inet and bridge tables that is icmpx port-unreachable. */
export function reject(
  type: NftExpressionOf<'reject'>['type'] = 'icmpx',
  code = 1,
): NftExpressionOf<'reject'> {
  return type === 'tcp reset' ? { expr: 'reject', type } : { expr: 'reject', type, code };
}

/** A set element for all addresses of a network, for sets with intervals. */
export function cidrElement(cidr: Cidr, rest: Omit<NftElement, 'key' | 'keyEnd'> = {}): NftElement {
  const first = networkOf(cidr).ip;
  return { key: [first], keyEnd: [broadcastOf(cidr)], ...rest };
}
