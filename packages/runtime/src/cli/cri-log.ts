/** One record of a container log: `TIMESTAMP STREAM TAGS CONTENT\n` (the CRI log format). */
export interface LogRecord {
  /** RFC 3339 with up to nine decimals, as written. */
  timestamp: string;
  stream: 'stdout' | 'stderr';
  /** The program has not ended its line here: the next record of the stream goes on with it. */
  partial: boolean;
  /** The bytes as the program wrote them, without its newline; a view into the buffer that was parsed. */
  content: Buffer;
}

const SPACE = 0x20;
const NEWLINE = 0x0a;

/** Parses one line without its newline; undefined for anything else than a record. */
export function parseLogLine(line: Buffer): LogRecord | undefined {
  const streamAt = line.indexOf(SPACE) + 1;
  const tagsAt = line.indexOf(SPACE, streamAt) + 1;
  if (streamAt === 0 || tagsAt === 0) return undefined;
  // An empty line of output may be written without the space before its empty content.
  const contentAt = line.indexOf(SPACE, tagsAt) + 1 || line.length + 1;
  const stream = line.toString('latin1', streamAt, tagsAt - 1);
  if (stream !== 'stdout' && stream !== 'stderr') return undefined;
  const tag = line.toString('latin1', tagsAt, contentAt - 1).split(':')[0];
  if (tag !== 'P' && tag !== 'F') return undefined;
  const timestamp = line.toString('latin1', 0, streamAt - 1);
  return { timestamp, stream, partial: tag === 'P', content: line.subarray(contentAt) };
}

/** Cuts a stream of chunks into records; keeps the rest of a chunk for the next one. */
export class LogParser {
  #rest: Buffer = Buffer.alloc(0);

  /** The records that end in this chunk, in order. Lines that are no records are left out. */
  push(chunk: Buffer): LogRecord[] {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const records: LogRecord[] = [];
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
      const record = parseLogLine(bytes.subarray(start, end));
      if (record !== undefined) records.push(record);
      start = end + 1;
    }
    this.#rest = bytes.subarray(start);
    return records;
  }
}

/**
 * Nanoseconds since 1970 of a record's time stamp. Date keeps milliseconds only, and two records of one millisecond
 * must compare.
 */
export function timestampNs(timestamp: string): bigint {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(timestamp);
  const seconds = match === null ? Number.NaN : Date.parse(`${match[1]}${match[3]}`) / 1000;
  if (match === null || Number.isNaN(seconds))
    throw new Error(`parse time "${timestamp}": expected RFC 3339`);
  return BigInt(seconds) * 1_000_000_000n + BigInt((match[2] ?? '').padEnd(9, '0'));
}
