import type { AttributeReader } from '../attributes.ts';
import { malformed } from '../errors.ts';
import { natFlags } from './constants.ts';
import type { NftNatFlag, NftRegister } from './expression-types.ts';

/** Numbers of an expression by attribute type; a register as 0 to 15, none for the verdict register. */
export type Numbers = Map<number, number>;

export function readNumber(numbers: Numbers, attrs: AttributeReader): void {
  numbers.set(attrs.type, attrs.u32be());
}

/** @throws NetlinkError EPROTO for a register that is none */
export function readRegister(numbers: Numbers, attrs: AttributeReader): void {
  const number = attrs.u32be();
  // 1 to 4 are the 16-byte registers, 8 to 23 the 4-byte ones over the same memory, 0 the verdict.
  if (number >= 1 && number <= 4) numbers.set(attrs.type, (number - 1) * 4);
  else if (number >= 8 && number <= 23) numbers.set(attrs.type, number - 8);
  else if (number !== 0) throw malformed(`nftables register ${number}`);
}

/** Reads all attributes of four bytes; those listed as registers. */
export function readNumbers(attrs: AttributeReader, registers: readonly number[]): Numbers {
  const numbers: Numbers = new Map();
  while (attrs.next()) {
    if (registers.includes(attrs.type)) readRegister(numbers, attrs);
    else if (attrs.size === 4) readNumber(numbers, attrs);
  }
  return numbers;
}

/** The register under the name of a property, or no property. */
export function optionalRegister<Key extends string>(
  numbers: Numbers,
  key: Key,
  type: number,
): { [K in Key]?: NftRegister } {
  const register = numbers.get(type);
  return (register === undefined ? {} : { [key]: register }) as { [K in Key]?: NftRegister };
}

/** The name that a table has for a number. */
export function nameIn<Table extends Record<string, number>>(
  table: Table,
  value: number,
): keyof Table | undefined {
  return Object.keys(table).find((name) => table[name] === value);
}

interface PortAttributes {
  FLAGS: number;
  PROTO_MIN: number;
  PROTO_MAX: number;
}

/** The registers and flags of `masquerade` and `redirect`. */
export function parsePorts(attrs: AttributeReader, { FLAGS, PROTO_MIN, PROTO_MAX }: PortAttributes) {
  const numbers = readNumbers(attrs, [PROTO_MIN, PROTO_MAX]);
  return {
    ...optionalRegister(numbers, 'port', PROTO_MIN),
    ...optionalRegister(numbers, 'portMax', PROTO_MAX),
    ...natFlagsOf(numbers.get(FLAGS) ?? 0),
  };
}

/** The flags under the name of a property, or no property. */
export function natFlagsOf(bits: number): { flags?: NftNatFlag[] } {
  const flags = flagNames(natFlags, bits);
  return flags.length === 0 ? {} : { flags };
}

/** Names of the bits that are set. */
export function flagNames<Table extends Record<string, number>>(table: Table, bits: number): (keyof Table)[] {
  return Object.keys(table).filter((name) => (bits & table[name]!) !== 0);
}
