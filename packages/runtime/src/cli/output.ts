import type { Writable } from 'node:stream';
import { UsageError } from './errors.ts';

/** Checks the value of `-o`; the first of those allowed is the default. @throws UsageError */
export function outputFormat(value: string | undefined): 'table' | 'json';
export function outputFormat<Format extends string>(value: string | undefined, allowed: Format[]): Format;
export function outputFormat(value: string | undefined, allowed: string[] = ['table', 'json']): string {
  const format = allowed.find((name) => name === (value ?? allowed[0]));
  if (format === undefined)
    throw new UsageError(`unknown output format "${value}": expected ${allowed.join(' or ')}`);
  return format;
}

/** Prints rows under their headings, columns as wide as their widest value. */
export function printTable(out: Writable, headings: string[], rows: string[][]): void {
  const widths = headings.map((heading, i) =>
    Math.max(heading.length, ...rows.map((row) => row[i]?.length ?? 0)),
  );
  for (const row of [headings, ...rows]) {
    out.write(
      `${row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('   ')
        .trimEnd()}\n`,
    );
  }
}

/** Prints a value as JSON; a bigint becomes a number where that is exact, else a string. */
export function printJson(out: Writable, value: unknown): void {
  out.write(`${JSON.stringify(value, exactBigint, 2)}\n`);
}

function exactBigint(_key: string, value: unknown): unknown {
  if (typeof value !== 'bigint') return value;
  return BigInt(Number(value)) === value && Number.isSafeInteger(Number(value))
    ? Number(value)
    : String(value);
}

/** RFC 3339 with nanoseconds of a CRI time; undefined for 0, which means "not yet". */
export function formatTime(ns: bigint): string | undefined {
  if (ns <= 0n) return undefined;
  const seconds = new Date(Number(ns / 1_000_000_000n) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(ns % 1_000_000_000n).padStart(9, '0')}Z`;
}

/** How long ago a CRI time is, in its largest unit: `5s`, `3m`, `2h`, `8d`. */
export function formatAge(ns: bigint, nowMs = Date.now()): string {
  if (ns <= 0n) return '-';
  const seconds = Math.max(0, Math.floor((nowMs - Number(ns / 1_000_000n)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** Bytes with three digits: `512 B`, `4.27 MB` (10⁶ bytes, as registries count). */
export function formatBytes(bytes: bigint | number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = Number(bytes);
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`;
}

/** The twelve digits of an id that people see; `sha256:` is left out. */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 12);
}
