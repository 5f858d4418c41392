import { ImageError } from '../errors.ts';

/** Records of a PAX extended header in their order; keys and values are byte strings. */
export type PaxRecord = [key: string, value: string];

/** Parses `LENGTH KEY=VALUE\n` records (pax(1), "pax Header Block"). @throws ImageError invalid-archive */
export function parsePax(bytes: Buffer): PaxRecord[] {
  const records: PaxRecord[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const space = bytes.indexOf(0x20, offset);
    // More than 7 digits cannot be: headers are limited to a megabyte.
    if (space < 0 || space === offset || space - offset > 7) throw invalid('a record without a length');
    const digits = bytes.toString('latin1', offset, space);
    if (!/^[0-9]+$/.test(digits)) throw invalid(`length ${JSON.stringify(digits)} is not a number`);
    const end = offset + Number(digits);
    if (end > bytes.length || end <= space + 1 || bytes[end - 1] !== 0x0a) {
      throw invalid(`a record of length ${digits} does not end in a newline`);
    }
    const equals = bytes.indexOf(0x3d, space + 1);
    if (equals < 0 || equals >= end - 1) throw invalid('a record without "="');
    records.push([
      bytes.toString('latin1', space + 1, equals),
      bytes.toString('latin1', equals + 1, end - 1),
    ]);
    offset = end;
  }
  return records;
}

/** A decimal number of seconds, with a fraction and a sign if it has them, in nanoseconds. @throws ImageError invalid-archive */
export function paxTimeNs(text: string): bigint {
  const match = /^(-?)([0-9]{1,18})(?:\.([0-9]*))?$/.exec(text);
  if (match === null) throw invalid(`time ${JSON.stringify(text)} is not a number`);
  const fraction = (match[3] ?? '').padEnd(9, '0').slice(0, 9);
  const value = BigInt(match[2]!) * 1_000_000_000n + BigInt(fraction);
  return match[1] === '-' ? -value : value;
}

/** A whole number that is not negative. @throws ImageError invalid-archive */
export function paxNumber(key: string, text: string): number {
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw invalid(`${key} ${JSON.stringify(text)} is not a number`);
  return value;
}

function invalid(cause: string): ImageError {
  return new ImageError('invalid-archive', `read pax header: ${cause}`);
}
