import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { isCode } from '@amphipod/linux';

/** How far back the last record of a stream is looked for. */
const tailBytes = 256 * 1024;

/**
 * Ends the log of a container that ended: a stream whose last record is a piece of a line (P) gets an empty closing one (F),
 * which readers wait for (field case LOG-01). conmon leaves that out. Fine when there is no such file (any more).
 * @param time of the records, RFC 3339
 */
export function finishLog(path: string, time: string): void {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_APPEND);
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return;
    throw error;
  }
  try {
    const closing = closingRecords(readTail(fd), time);
    if (closing !== '') writeSync(fd, closing);
  } finally {
    closeSync(fd);
  }
}

function readTail(fd: number): string {
  const { size } = fstatSync(fd);
  const length = Math.min(size, tailBytes);
  const buffer = Buffer.alloc(length);
  const read = readSync(fd, buffer, 0, length, size - length);
  return buffer.toString('latin1', 0, read);
}

/** @param tail the end of a log file, which may begin in the middle of a record */
export function closingRecords(tail: string, time: string): string {
  const last = new Map<string, string>();
  for (const line of tail.split('\n')) {
    const [, stream, tag] = /^\d{4}-\S+ (stdout|stderr) ([FP])(?= |:|$)/.exec(line) ?? [];
    if (stream !== undefined && tag !== undefined) last.set(stream, tag);
  }
  // A record that a full disk cut off ends here.
  const cut = tail === '' || tail.endsWith('\n') ? '' : '\n';
  const open = [...last].filter(([, tag]) => tag === 'P');
  return cut + open.map(([stream]) => `${time} ${stream} F \n`).join('');
}
