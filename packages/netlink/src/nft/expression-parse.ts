import type { AttributeReader } from '../attributes.ts';
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
  NFTA_MATCH,
  NFTA_META,
  NFTA_NAT,
  NFTA_PAYLOAD,
  NFTA_RANGE,
  NFTA_REDIR,
  NFTA_REJECT,
  natTypes,
  payloadBases,
  rejectTypes,
} from './constants.ts';
import { readData, readValue } from './data.ts';
import {
  flagNames,
  type Numbers,
  nameIn,
  natFlagsOf,
  optionalRegister,
  parsePorts,
  readNumber,
  readNumbers,
  readRegister,
} from './expression-numbers.ts';
import type { NftExpression, NftExpressionOf } from './expression-types.ts';

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

type Parser = (attrs: AttributeReader) => NftExpression | undefined;

const parsers: Record<string, Parser> = {
  payload(attrs) {
    const numbers = readNumbers(attrs, [NFTA_PAYLOAD.DREG]);
    const register = numbers.get(NFTA_PAYLOAD.DREG);
    const base = nameIn(payloadBases, numbers.get(NFTA_PAYLOAD.BASE) ?? 0);
    if (register === undefined || base === undefined) return undefined;
    const offset = numbers.get(NFTA_PAYLOAD.OFFSET) ?? 0;
    return { expr: 'payload', base, offset, length: numbers.get(NFTA_PAYLOAD.LEN) ?? 0, register };
  },
  meta(attrs) {
    const numbers = readNumbers(attrs, [NFTA_META.DREG, NFTA_META.SREG]);
    const key = nameIn(metaKeys, numbers.get(NFTA_META.KEY) ?? 0);
    const source = numbers.get(NFTA_META.SREG);
    const register = numbers.get(NFTA_META.DREG) ?? source;
    if (key === undefined || register === undefined) return undefined;
    return source === undefined ? { expr: 'meta', key, register } : { expr: 'meta-set', key, register };
  },
  ct: parseCt,
  fib(attrs) {
    const numbers = readNumbers(attrs, [NFTA_FIB.DREG]);
    const register = numbers.get(NFTA_FIB.DREG);
    const result = nameIn(fibResults, numbers.get(NFTA_FIB.RESULT) ?? 0);
    if (register === undefined || result === undefined) return undefined;
    return { expr: 'fib', result, flags: flagNames(fibFlags, numbers.get(NFTA_FIB.FLAGS) ?? 0), register };
  },
  cmp: parseCmp,
  range: parseRange,
  bitwise: parseBitwise,
  lookup: parseLookup,
  immediate(attrs) {
    let data: ReturnType<typeof readData> | undefined;
    const numbers: Numbers = new Map();
    while (attrs.next()) {
      if (attrs.type === NFTA_IMMEDIATE.DREG) readRegister(numbers, attrs);
      else if (attrs.type === NFTA_IMMEDIATE.DATA) data = readData(attrs);
    }
    const register = numbers.get(NFTA_IMMEDIATE.DREG);
    if (data === undefined) return undefined;
    if (!Buffer.isBuffer(data)) return { expr: 'verdict', ...data };
    return register === undefined ? undefined : { expr: 'immediate', register, data };
  },
  nat(attrs) {
    const { ADDR_MIN, ADDR_MAX, PROTO_MIN, PROTO_MAX } = NFTA_NAT;
    const numbers = readNumbers(attrs, [ADDR_MIN, ADDR_MAX, PROTO_MIN, PROTO_MAX]);
    const type = nameIn(natTypes, numbers.get(NFTA_NAT.TYPE) ?? 0);
    const family = nameIn(NFPROTO, numbers.get(NFTA_NAT.FAMILY) ?? 0);
    if (type === undefined || (family !== 'ip' && family !== 'ip6')) return undefined;
    return {
      expr: 'nat',
      type,
      family,
      ...optionalRegister(numbers, 'address', ADDR_MIN),
      ...optionalRegister(numbers, 'addressMax', ADDR_MAX),
      ...optionalRegister(numbers, 'port', PROTO_MIN),
      ...optionalRegister(numbers, 'portMax', PROTO_MAX),
      ...natFlagsOf(numbers.get(NFTA_NAT.FLAGS) ?? 0),
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
  match: parseMatch,
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
  const numbers: Numbers = new Map();
  let direction: keyof typeof ctDirections | undefined;
  while (attrs.next()) {
    if (attrs.type === NFTA_CT.KEY) readNumber(numbers, attrs);
    else if (attrs.type === NFTA_CT.DIRECTION) direction = nameIn(ctDirections, attrs.u8());
    else if (attrs.type === NFTA_CT.DREG || attrs.type === NFTA_CT.SREG) readRegister(numbers, attrs);
  }
  const key = nameIn(ctKeys, numbers.get(NFTA_CT.KEY) ?? 0);
  const source = numbers.get(NFTA_CT.SREG);
  const register = numbers.get(NFTA_CT.DREG) ?? source;
  if (key === undefined || register === undefined) return undefined;
  if (source !== undefined) return { expr: 'ct-set', key, register };
  return { expr: 'ct', key, register, ...(direction === undefined ? {} : { direction }) };
}

function parseCmp(attrs: AttributeReader): NftExpression | undefined {
  const numbers: Numbers = new Map();
  let data: Buffer | undefined;
  while (attrs.next()) {
    if (attrs.type === NFTA_CMP.SREG) readRegister(numbers, attrs);
    else if (attrs.type === NFTA_CMP.OP) readNumber(numbers, attrs);
    else if (attrs.type === NFTA_CMP.DATA) data = readValue(attrs);
  }
  const op = nameIn(cmpOps, numbers.get(NFTA_CMP.OP) ?? 0);
  const register = numbers.get(NFTA_CMP.SREG);
  if (op === undefined || register === undefined || data === undefined) return undefined;
  return { expr: 'cmp', register, op, data };
}

function parseRange(attrs: AttributeReader): NftExpression | undefined {
  const numbers: Numbers = new Map();
  let from: Buffer | undefined;
  let to: Buffer | undefined;
  while (attrs.next()) {
    if (attrs.type === NFTA_RANGE.SREG) readRegister(numbers, attrs);
    else if (attrs.type === NFTA_RANGE.OP) readNumber(numbers, attrs);
    else if (attrs.type === NFTA_RANGE.FROM_DATA) from = readValue(attrs);
    else if (attrs.type === NFTA_RANGE.TO_DATA) to = readValue(attrs);
  }
  const register = numbers.get(NFTA_RANGE.SREG);
  if (register === undefined || from === undefined || to === undefined) return undefined;
  return {
    expr: 'range',
    register,
    from,
    to,
    ...((numbers.get(NFTA_RANGE.OP) ?? 0) === 1 ? { isInverted: true } : {}),
  };
}

function parseBitwise(attrs: AttributeReader): NftExpression | undefined {
  const numbers: Numbers = new Map();
  let mask: Buffer | undefined;
  let xor: Buffer | undefined;
  while (attrs.next()) {
    if (attrs.type === NFTA_BITWISE.SREG || attrs.type === NFTA_BITWISE.DREG) readRegister(numbers, attrs);
    else if (attrs.type === NFTA_BITWISE.MASK) mask = readValue(attrs);
    else if (attrs.type === NFTA_BITWISE.XOR) xor = readValue(attrs);
  }
  const register = numbers.get(NFTA_BITWISE.SREG);
  const to = numbers.get(NFTA_BITWISE.DREG);
  // Shifts carry no mask.
  if (register === undefined || to === undefined || mask === undefined || xor === undefined) return undefined;
  return { expr: 'bitwise', register, mask, xor, ...(to === register ? {} : { to }) };
}

function parseLookup(attrs: AttributeReader): NftExpression | undefined {
  const numbers: Numbers = new Map();
  let set: string | undefined;
  let hasTarget = false;
  while (attrs.next()) {
    if (attrs.type === NFTA_LOOKUP.SET) set = attrs.string();
    else if (attrs.type === NFTA_LOOKUP.FLAGS) readNumber(numbers, attrs);
    else if (attrs.type === NFTA_LOOKUP.SREG) readRegister(numbers, attrs);
    else if (attrs.type === NFTA_LOOKUP.DREG) {
      hasTarget = true;
      readRegister(numbers, attrs);
    }
  }
  const register = numbers.get(NFTA_LOOKUP.SREG);
  if (set === undefined || register === undefined) return undefined;
  const lookup: NftExpressionOf<'lookup'> = { expr: 'lookup', set, register };
  if (hasTarget) lookup.to = numbers.get(NFTA_LOOKUP.DREG) ?? 'verdict';
  if (((numbers.get(NFTA_LOOKUP.FLAGS) ?? 0) & 1) !== 0) lookup.isInverted = true;
  return lookup;
}

function parseMatch(attrs: AttributeReader): NftExpression {
  const match: NftExpressionOf<'xt-match'> = {
    expr: 'xt-match',
    name: '',
    revision: 0,
    info: Buffer.alloc(0),
  };
  while (attrs.next()) {
    if (attrs.type === NFTA_MATCH.NAME) match.name = attrs.string();
    else if (attrs.type === NFTA_MATCH.REV) match.revision = attrs.u32be();
    else if (attrs.type === NFTA_MATCH.INFO) match.info = Buffer.from(attrs.bytes());
  }
  return match;
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
  const numbers: Numbers = new Map();
  let rate = 0n;
  let seconds = 0n;
  while (attrs.next()) {
    if (attrs.type === NFTA_LIMIT.RATE) rate = attrs.u64be();
    else if (attrs.type === NFTA_LIMIT.UNIT) seconds = attrs.u64be();
    else if (attrs.size === 4) readNumber(numbers, attrs);
  }
  const unit = nameIn(limitUnits, Number(seconds));
  const kind = nameIn(limitKinds, numbers.get(NFTA_LIMIT.TYPE) ?? 0);
  if (unit === undefined || kind === undefined) return undefined;
  const isOver = ((numbers.get(NFTA_LIMIT.FLAGS) ?? 0) & 1) !== 0;
  return {
    expr: 'limit',
    rate,
    unit,
    burst: numbers.get(NFTA_LIMIT.BURST) ?? 0,
    kind,
    ...(isOver ? { isOver } : {}),
  };
}
