import type { AttributeReader } from '../attributes.ts';
import { malformed } from '../errors.ts';
import {
  cmpOps,
  ctDirections,
  ctKeys,
  fibFlags,
  fibResults,
  limitKinds,
  limitUnits,
  logLevels,
  metaKeys,
  NFPROTO,
  NFTA_BITWISE,
  NFTA_CMP,
  NFTA_COUNTER,
  NFTA_CT,
  NFTA_EXPR,
  NFTA_FIB,
  NFTA_IMMEDIATE,
  NFTA_LIMIT,
  NFTA_LOG,
  NFTA_LOOKUP,
  NFTA_MASQ,
  NFTA_META,
  NFTA_NAT,
  NFTA_PAYLOAD,
  NFTA_RANGE,
  NFTA_REDIR,
  NFTA_REJECT,
  natFlags,
  natTypes,
  payloadBases,
  rejectTypes,
} from './constants.ts';
import { readData, readValue } from './data.ts';
import type { NftExpression, NftExpressionOf, NftNatFlag, NftRegister } from './expression-types.ts';

/** Reads one element of a rule's list. An expression of which this library knows not every part comes as `unknown`. */
export function parseExpression(attrs: AttributeReader): NftExpression {
  let name = '';
  let found: NftExpression | undefined;
  let data: Buffer = Buffer.alloc(0);
  while (attrs.next()) {
    if (attrs.type === NFTA_EXPR.NAME) name = attrs.string();
    else if (attrs.type === NFTA_EXPR.DATA) {
      // The kernel puts the name before the data.
      found = Object.hasOwn(parsers, name) ? parsers[name]!(attrs.nested()) : undefined;
      data = Buffer.from(attrs.bytes());
    }
  }
  if (found === undefined && name === 'notrack') return { expr: 'notrack' };
  return found ?? { expr: 'unknown', name, data };
}

/** Reads attributes into numbers by their type; what is not there is undefined. */
class Numbers {
  readonly #values = new Map<number, number>();
  readonly #registers = new Map<number, NftRegister>();

  u32(attrs: AttributeReader): void {
    this.#values.set(attrs.type, attrs.u32be());
  }

  register(attrs: AttributeReader): void {
    const number = attrs.u32be();
    // 1 to 4 are the 16-byte registers, 8 to 23 the 4-byte ones over the same memory.
    if (number >= 1 && number <= 4) this.#registers.set(attrs.type, (number - 1) * 4);
    else if (number >= 8 && number <= 23) this.#registers.set(attrs.type, number - 8);
    else if (number !== 0) throw malformed(`nftables register ${number}`);
  }

  at(type: number): number {
    return this.#values.get(type) ?? 0;
  }

  registerAt(type: number): NftRegister | undefined {
    return this.#registers.get(type);
  }

  /** The register under the name of a property, or no property. */
  optional<Key extends string>(key: Key, type: number): { [K in Key]?: NftRegister } {
    const register = this.#registers.get(type);
    return (register === undefined ? {} : { [key]: register }) as { [K in Key]?: NftRegister };
  }
}

function nameIn<Table extends Record<string, number>>(table: Table, value: number): keyof Table | undefined {
  return Object.keys(table).find((name) => table[name] === value);
}

function readNumbers(attrs: AttributeReader, registers: readonly number[]): Numbers {
  const numbers = new Numbers();
  while (attrs.next()) {
    if (registers.includes(attrs.type)) numbers.register(attrs);
    else if (attrs.size === 4) numbers.u32(attrs);
  }
  return numbers;
}

type Parser = (attrs: AttributeReader) => NftExpression | undefined;

const parsers: Record<string, Parser> = {
  payload(attrs) {
    const numbers = readNumbers(attrs, [NFTA_PAYLOAD.DREG]);
    const register = numbers.registerAt(NFTA_PAYLOAD.DREG);
    const base = nameIn(payloadBases, numbers.at(NFTA_PAYLOAD.BASE));
    if (register === undefined || base === undefined) return undefined;
    const offset = numbers.at(NFTA_PAYLOAD.OFFSET);
    return { expr: 'payload', base, offset, length: numbers.at(NFTA_PAYLOAD.LEN), register };
  },
  meta(attrs) {
    const numbers = readNumbers(attrs, [NFTA_META.DREG, NFTA_META.SREG]);
    const key = nameIn(metaKeys, numbers.at(NFTA_META.KEY));
    const source = numbers.registerAt(NFTA_META.SREG);
    const register = numbers.registerAt(NFTA_META.DREG) ?? source;
    if (key === undefined || register === undefined) return undefined;
    return source === undefined ? { expr: 'meta', key, register } : { expr: 'meta-set', key, register };
  },
  ct: parseCt,
  fib(attrs) {
    const numbers = readNumbers(attrs, [NFTA_FIB.DREG]);
    const register = numbers.registerAt(NFTA_FIB.DREG);
    const result = nameIn(fibResults, numbers.at(NFTA_FIB.RESULT));
    if (register === undefined || result === undefined) return undefined;
    return { expr: 'fib', result, flags: flagNames(fibFlags, numbers.at(NFTA_FIB.FLAGS)), register };
  },
  cmp: parseCmp,
  range: parseRange,
  bitwise: parseBitwise,
  lookup: parseLookup,
  immediate(attrs) {
    let data: ReturnType<typeof readData> | undefined;
    const numbers = new Numbers();
    while (attrs.next()) {
      if (attrs.type === NFTA_IMMEDIATE.DREG) numbers.register(attrs);
      else if (attrs.type === NFTA_IMMEDIATE.DATA) data = readData(attrs);
    }
    const register = numbers.registerAt(NFTA_IMMEDIATE.DREG);
    if (data === undefined) return undefined;
    if (!Buffer.isBuffer(data)) return { expr: 'verdict', ...data };
    return register === undefined ? undefined : { expr: 'immediate', register, data };
  },
  nat(attrs) {
    const { ADDR_MIN, ADDR_MAX, PROTO_MIN, PROTO_MAX } = NFTA_NAT;
    const numbers = readNumbers(attrs, [ADDR_MIN, ADDR_MAX, PROTO_MIN, PROTO_MAX]);
    const type = nameIn(natTypes, numbers.at(NFTA_NAT.TYPE));
    const family = nameIn(NFPROTO, numbers.at(NFTA_NAT.FAMILY));
    if (type === undefined || (family !== 'ip' && family !== 'ip6')) return undefined;
    return {
      expr: 'nat',
      type,
      family,
      ...numbers.optional('address', ADDR_MIN),
      ...numbers.optional('addressMax', ADDR_MAX),
      ...numbers.optional('port', PROTO_MIN),
      ...numbers.optional('portMax', PROTO_MAX),
      ...natFlagsOf(numbers.at(NFTA_NAT.FLAGS)),
    };
  },
  masq: (attrs) => ({ expr: 'masquerade', ...parsePorts(attrs, NFTA_MASQ) }),
  redir: (attrs) => ({ expr: 'redirect', ...parsePorts(attrs, NFTA_REDIR) }),
  counter(attrs) {
    const counter = { expr: 'counter' as const, packets: 0n, bytes: 0n };
    while (attrs.next()) {
      if (attrs.type === NFTA_COUNTER.PACKETS) counter.packets = attrs.u64be();
      else if (attrs.type === NFTA_COUNTER.BYTES) counter.bytes = attrs.u64be();
    }
    return counter;
  },
  log: parseLog,
  limit: parseLimit,
  reject(attrs) {
    let type: keyof typeof rejectTypes | undefined;
    let code = 0;
    while (attrs.next()) {
      if (attrs.type === NFTA_REJECT.TYPE) type = nameIn(rejectTypes, attrs.u32be());
      else if (attrs.type === NFTA_REJECT.CODE) code = attrs.u8();
    }
    return type === undefined ? undefined : { expr: 'reject', type, code };
  },
};

function parseCt(attrs: AttributeReader): NftExpression | undefined {
  const numbers = new Numbers();
  let direction: keyof typeof ctDirections | undefined;
  while (attrs.next()) {
    if (attrs.type === NFTA_CT.KEY) numbers.u32(attrs);
    else if (attrs.type === NFTA_CT.DIRECTION) direction = nameIn(ctDirections, attrs.u8());
    else if (attrs.type === NFTA_CT.DREG || attrs.type === NFTA_CT.SREG) numbers.register(attrs);
  }
  const key = nameIn(ctKeys, numbers.at(NFTA_CT.KEY));
  const source = numbers.registerAt(NFTA_CT.SREG);
  const register = numbers.registerAt(NFTA_CT.DREG) ?? source;
  if (key === undefined || register === undefined) return undefined;
  if (source !== undefined) return { expr: 'ct-set', key, register };
  return { expr: 'ct', key, register, ...(direction === undefined ? {} : { direction }) };
}

function parseCmp(attrs: AttributeReader): NftExpression | undefined {
  const numbers = new Numbers();
  let data: Buffer | undefined;
  while (attrs.next()) {
    if (attrs.type === NFTA_CMP.SREG) numbers.register(attrs);
    else if (attrs.type === NFTA_CMP.OP) numbers.u32(attrs);
    else if (attrs.type === NFTA_CMP.DATA) data = readValue(attrs);
  }
  const op = nameIn(cmpOps, numbers.at(NFTA_CMP.OP));
  const register = numbers.registerAt(NFTA_CMP.SREG);
  if (op === undefined || register === undefined || data === undefined) return undefined;
  return { expr: 'cmp', register, op, data };
}

function parseRange(attrs: AttributeReader): NftExpression | undefined {
  const numbers = new Numbers();
  let from: Buffer | undefined;
  let to: Buffer | undefined;
  while (attrs.next()) {
    if (attrs.type === NFTA_RANGE.SREG) numbers.register(attrs);
    else if (attrs.type === NFTA_RANGE.OP) numbers.u32(attrs);
    else if (attrs.type === NFTA_RANGE.FROM_DATA) from = readValue(attrs);
    else if (attrs.type === NFTA_RANGE.TO_DATA) to = readValue(attrs);
  }
  const register = numbers.registerAt(NFTA_RANGE.SREG);
  if (register === undefined || from === undefined || to === undefined) return undefined;
  return {
    expr: 'range',
    register,
    from,
    to,
    ...(numbers.at(NFTA_RANGE.OP) === 1 ? { isInverted: true } : {}),
  };
}

function parseBitwise(attrs: AttributeReader): NftExpression | undefined {
  const numbers = new Numbers();
  let mask: Buffer | undefined;
  let xor: Buffer | undefined;
  while (attrs.next()) {
    if (attrs.type === NFTA_BITWISE.SREG || attrs.type === NFTA_BITWISE.DREG) numbers.register(attrs);
    else if (attrs.type === NFTA_BITWISE.MASK) mask = readValue(attrs);
    else if (attrs.type === NFTA_BITWISE.XOR) xor = readValue(attrs);
  }
  const register = numbers.registerAt(NFTA_BITWISE.SREG);
  const to = numbers.registerAt(NFTA_BITWISE.DREG);
  // Shifts carry no mask.
  if (register === undefined || to === undefined || mask === undefined || xor === undefined) return undefined;
  return { expr: 'bitwise', register, mask, xor, ...(to === register ? {} : { to }) };
}

function parseLookup(attrs: AttributeReader): NftExpression | undefined {
  const numbers = new Numbers();
  let set: string | undefined;
  let hasTarget = false;
  while (attrs.next()) {
    if (attrs.type === NFTA_LOOKUP.SET) set = attrs.string();
    else if (attrs.type === NFTA_LOOKUP.FLAGS) numbers.u32(attrs);
    else if (attrs.type === NFTA_LOOKUP.SREG) numbers.register(attrs);
    else if (attrs.type === NFTA_LOOKUP.DREG) {
      hasTarget = true;
      numbers.register(attrs);
    }
  }
  const register = numbers.registerAt(NFTA_LOOKUP.SREG);
  if (set === undefined || register === undefined) return undefined;
  const lookup: NftExpressionOf<'lookup'> = { expr: 'lookup', set, register };
  if (hasTarget) lookup.to = numbers.registerAt(NFTA_LOOKUP.DREG) ?? 'verdict';
  if ((numbers.at(NFTA_LOOKUP.FLAGS) & 1) !== 0) lookup.isInverted = true;
  return lookup;
}

function parseLog(attrs: AttributeReader): NftExpression {
  const log: NftExpressionOf<'log'> = { expr: 'log' };
  while (attrs.next()) {
    if (attrs.type === NFTA_LOG.PREFIX) log.prefix = attrs.string();
    else if (attrs.type === NFTA_LOG.GROUP) log.group = attrs.u16be();
    else if (attrs.type === NFTA_LOG.SNAPLEN) log.snapLength = attrs.u32be();
    else if (attrs.type === NFTA_LOG.LEVEL) {
      const level = nameIn(logLevels, attrs.u32be());
      if (level !== undefined) log.level = level;
    }
  }
  return log;
}

function parseLimit(attrs: AttributeReader): NftExpression | undefined {
  const numbers = new Numbers();
  let rate = 0n;
  let seconds = 0n;
  while (attrs.next()) {
    if (attrs.type === NFTA_LIMIT.RATE) rate = attrs.u64be();
    else if (attrs.type === NFTA_LIMIT.UNIT) seconds = attrs.u64be();
    else if (attrs.size === 4) numbers.u32(attrs);
  }
  const unit = nameIn(limitUnits, Number(seconds));
  const kind = nameIn(limitKinds, numbers.at(NFTA_LIMIT.TYPE));
  if (unit === undefined || kind === undefined) return undefined;
  const isOver = (numbers.at(NFTA_LIMIT.FLAGS) & 1) !== 0;
  return {
    expr: 'limit',
    rate,
    unit,
    burst: numbers.at(NFTA_LIMIT.BURST),
    kind,
    ...(isOver ? { isOver } : {}),
  };
}

interface PortAttributes {
  FLAGS: number;
  PROTO_MIN: number;
  PROTO_MAX: number;
}

function parsePorts(attrs: AttributeReader, { FLAGS, PROTO_MIN, PROTO_MAX }: PortAttributes) {
  const numbers = readNumbers(attrs, [PROTO_MIN, PROTO_MAX]);
  return {
    ...numbers.optional('port', PROTO_MIN),
    ...numbers.optional('portMax', PROTO_MAX),
    ...natFlagsOf(numbers.at(FLAGS)),
  };
}

function natFlagsOf(bits: number): { flags?: NftNatFlag[] } {
  const flags = flagNames(natFlags, bits);
  return flags.length === 0 ? {} : { flags };
}

function flagNames<Table extends Record<string, number>>(table: Table, bits: number): (keyof Table)[] {
  return Object.keys(table).filter((name) => (bits & table[name]!) !== 0);
}
