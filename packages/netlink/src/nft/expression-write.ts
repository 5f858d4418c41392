import type { MessageWriter } from '../attributes.ts';
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
  NFT_LOOKUP_F_INV,
  NFTA_BITWISE,
  NFTA_CMP,
  NFTA_COUNTER,
  NFTA_CT,
  NFTA_EXPR,
  NFTA_FIB,
  NFTA_IMMEDIATE,
  NFTA_LIMIT,
  NFTA_LIST_ELEM,
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
  natFlags,
  natTypes,
  payloadBases,
  rejectTypes,
} from './constants.ts';
import { writeValue, writeVerdict } from './data.ts';
import type { NftExpression, NftExpressionOf, NftNatFlag, NftRegister } from './expression-types.ts';

/** NFT_REG32_00: the first of the 4-byte registers. */
const FIRST_REGISTER = 8;
const VERDICT_REGISTER = 0;

/** Appends one expression to a rule's list. */
export function writeExpression(writer: MessageWriter, expression: NftExpression): void {
  writer.nested(NFTA_LIST_ELEM, () => {
    writer.string(NFTA_EXPR.NAME, kernelName(expression));
    writer.nested(NFTA_EXPR.DATA, () => writeData(writer, expression));
  });
}

function kernelName(expression: NftExpression): string {
  switch (expression.expr) {
    case 'meta-set':
      return 'meta';
    case 'ct-set':
      return 'ct';
    case 'verdict':
      return 'immediate';
    case 'masquerade':
      return 'masq';
    case 'redirect':
      return 'redir';
    case 'xt-match':
      return 'match';
    case 'unknown':
      return expression.name;
    default:
      return expression.expr;
  }
}

type DataWriters = {
  [Kind in NftExpression['expr']]: (writer: MessageWriter, expression: NftExpressionOf<Kind>) => void;
};

function writeData(writer: MessageWriter, expression: NftExpression): void {
  const write = dataWriters[expression.expr] as (writer: MessageWriter, expression: NftExpression) => void;
  write(writer, expression);
}

const dataWriters: DataWriters = {
  payload(writer, { register, base, offset, length }) {
    writeRegister(writer, NFTA_PAYLOAD.DREG, register);
    writer.u32be(NFTA_PAYLOAD.BASE, payloadBases[base]);
    writer.u32be(NFTA_PAYLOAD.OFFSET, offset);
    writer.u32be(NFTA_PAYLOAD.LEN, length);
  },
  meta(writer, { register, key }) {
    writer.u32be(NFTA_META.KEY, metaKeys[key]);
    writeRegister(writer, NFTA_META.DREG, register);
  },
  'meta-set'(writer, { register, key }) {
    writer.u32be(NFTA_META.KEY, metaKeys[key]);
    writeRegister(writer, NFTA_META.SREG, register);
  },
  ct(writer, { register, key, direction }) {
    writer.u32be(NFTA_CT.KEY, ctKeys[key]);
    writeRegister(writer, NFTA_CT.DREG, register);
    if (direction !== undefined) writer.u8(NFTA_CT.DIRECTION, ctDirections[direction]);
  },
  'ct-set'(writer, { register, key }) {
    writer.u32be(NFTA_CT.KEY, ctKeys[key]);
    writeRegister(writer, NFTA_CT.SREG, register);
  },
  fib(writer, { register, result, flags }) {
    writeRegister(writer, NFTA_FIB.DREG, register);
    writer.u32be(NFTA_FIB.RESULT, fibResults[result]);
    writer.u32be(
      NFTA_FIB.FLAGS,
      flags.reduce((bits, flag) => bits | fibFlags[flag], 0),
    );
  },
  cmp(writer, { register, op, data }) {
    writeRegister(writer, NFTA_CMP.SREG, register);
    writer.u32be(NFTA_CMP.OP, cmpOps[op]);
    writeValue(writer, NFTA_CMP.DATA, data);
  },
  range(writer, { register, from, to, isInverted }) {
    writeRegister(writer, NFTA_RANGE.SREG, register);
    writer.u32be(NFTA_RANGE.OP, Number(isInverted ?? false));
    writeValue(writer, NFTA_RANGE.FROM_DATA, from);
    writeValue(writer, NFTA_RANGE.TO_DATA, to);
  },
  bitwise(writer, { register, to, mask, xor }) {
    writeRegister(writer, NFTA_BITWISE.SREG, register);
    writeRegister(writer, NFTA_BITWISE.DREG, to ?? register);
    writer.u32be(NFTA_BITWISE.LEN, mask.length);
    writeValue(writer, NFTA_BITWISE.MASK, mask);
    writeValue(writer, NFTA_BITWISE.XOR, xor);
  },
  lookup(writer, { set, register, to, isInverted }) {
    writer.string(NFTA_LOOKUP.SET, set);
    writeRegister(writer, NFTA_LOOKUP.SREG, register);
    if (to === 'verdict') writer.u32be(NFTA_LOOKUP.DREG, VERDICT_REGISTER);
    else writeRegister(writer, NFTA_LOOKUP.DREG, to);
    if (isInverted) writer.u32be(NFTA_LOOKUP.FLAGS, NFT_LOOKUP_F_INV);
  },
  immediate(writer, { register, data }) {
    writeRegister(writer, NFTA_IMMEDIATE.DREG, register);
    writeValue(writer, NFTA_IMMEDIATE.DATA, data);
  },
  verdict(writer, verdict) {
    writer.u32be(NFTA_IMMEDIATE.DREG, VERDICT_REGISTER);
    writeVerdict(writer, NFTA_IMMEDIATE.DATA, verdict);
  },
  nat(writer, nat) {
    writer.u32be(NFTA_NAT.TYPE, natTypes[nat.type]);
    writer.u32be(NFTA_NAT.FAMILY, NFPROTO[nat.family]);
    writeRegister(writer, NFTA_NAT.ADDR_MIN, nat.address);
    writeRegister(writer, NFTA_NAT.ADDR_MAX, nat.addressMax);
    writeRegister(writer, NFTA_NAT.PROTO_MIN, nat.port);
    writeRegister(writer, NFTA_NAT.PROTO_MAX, nat.portMax);
    writeNatFlags(writer, NFTA_NAT.FLAGS, nat.flags);
  },
  masquerade(writer, { port, portMax, flags }) {
    writeNatFlags(writer, NFTA_MASQ.FLAGS, flags);
    writeRegister(writer, NFTA_MASQ.PROTO_MIN, port);
    writeRegister(writer, NFTA_MASQ.PROTO_MAX, portMax);
  },
  redirect(writer, { port, portMax, flags }) {
    writeRegister(writer, NFTA_REDIR.PROTO_MIN, port);
    writeRegister(writer, NFTA_REDIR.PROTO_MAX, portMax);
    writeNatFlags(writer, NFTA_REDIR.FLAGS, flags);
  },
  counter(writer, { packets, bytes }) {
    writer.u64be(NFTA_COUNTER.BYTES, bytes ?? 0n);
    writer.u64be(NFTA_COUNTER.PACKETS, packets ?? 0n);
  },
  log(writer, { prefix, level, group, snapLength }) {
    if (prefix !== undefined) writer.string(NFTA_LOG.PREFIX, prefix);
    if (level !== undefined) writer.u32be(NFTA_LOG.LEVEL, logLevels[level]);
    if (group !== undefined) writer.u16be(NFTA_LOG.GROUP, group);
    if (snapLength !== undefined) writer.u32be(NFTA_LOG.SNAPLEN, snapLength);
  },
  limit(writer, { rate, unit, burst, kind, isOver }) {
    writer.u64be(NFTA_LIMIT.RATE, rate);
    writer.u64be(NFTA_LIMIT.UNIT, BigInt(limitUnits[unit]));
    writer.u32be(NFTA_LIMIT.BURST, burst ?? (kind === 'bytes' ? 0 : 5));
    writer.u32be(NFTA_LIMIT.TYPE, limitKinds[kind ?? 'packets']);
    if (isOver) writer.u32be(NFTA_LIMIT.FLAGS, 1);
  },
  reject(writer, { type, code }) {
    writer.u32be(NFTA_REJECT.TYPE, rejectTypes[type]);
    writer.u8(NFTA_REJECT.CODE, code ?? 0);
  },
  notrack() {},
  'xt-match'(writer, { name, revision, info }) {
    writer.string(NFTA_MATCH.NAME, name);
    writer.u32be(NFTA_MATCH.REV, revision);
    writer.bytesOf(NFTA_MATCH.INFO, info);
  },
  unknown(_writer, { name }) {
    throw new RangeError(`write nftables expression ${JSON.stringify(name)}: not known to this library`);
  },
};

function writeRegister(writer: MessageWriter, type: number, register: NftRegister | undefined): void {
  if (register === undefined) return;
  if (!Number.isInteger(register) || register < 0 || register > 15) {
    throw new RangeError(`write nftables expression: register ${register} is not in 0 to 15`);
  }
  writer.u32be(type, FIRST_REGISTER + register);
}

function writeNatFlags(writer: MessageWriter, type: number, flags: readonly NftNatFlag[] | undefined): void {
  const bits = (flags ?? []).reduce((sum, flag) => sum | natFlags[flag], 0);
  if (bits !== 0) writer.u32be(type, bits);
}
