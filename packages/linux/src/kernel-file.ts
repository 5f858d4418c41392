import { closeSync, openSync, readSync } from 'node:fs';
import { isCode } from './errors.ts';

/** Longer than any file of one value or one table per group (memory.stat is 2 KB). */
let buffer = Buffer.allocUnsafeSlow(16 * 1024);

/**
 * Text of a file below /sys/fs/cgroup or /proc; undefined when it is not there, its group or process has gone, or the
 * kernel has it switched off (EOPNOTSUPP: pressure). Half the system calls of readFileSync: lists of usage read hundreds.
 */
export function readKernelFile(path: string): string | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    let length = 0;
    for (;;) {
      const count = readSync(fd, buffer, length, buffer.length - length, null);
      length += count;
      if (count === 0) return buffer.toString('latin1', 0, length);
      if (length < buffer.length) continue;
      const larger = Buffer.allocUnsafeSlow(buffer.length * 2);
      buffer.copy(larger);
      buffer = larger;
    }
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR', 'ENODEV', 'ESRCH', 'EOPNOTSUPP')) return undefined;
    throw error;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** The number after `key` in a table of `KEY NUMBER` lines; undefined when there is no such line. */
export function keyedValue(table: string, key: string): bigint | undefined {
  const start = table.startsWith(`${key} `) ? 0 : table.indexOf(`\n${key} `) + 1;
  if (start === 0 && !table.startsWith(`${key} `)) return undefined;
  const end = table.indexOf('\n', start);
  return toCount(table.slice(start + key.length + 1, end < 0 ? undefined : end));
}

/** A whole number; undefined for everything else ("max"). */
export function toCount(text: string | undefined): bigint | undefined {
  const trimmed = text?.trim() ?? '';
  return /^-?\d+$/.test(trimmed) ? BigInt(trimmed) : undefined;
}
