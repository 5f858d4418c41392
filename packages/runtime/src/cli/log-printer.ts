import type { Writable } from 'node:stream';
import type { LogRecord } from './cri-log.ts';

export interface LogPrinterOptions {
  stdout: Writable;
  stderr: Writable;
  /** Print the time before each line. */
  timestamps?: boolean;
}

const newline = Buffer.from('\n');

/** Writes records where the program had written them, byte for byte; pieces of one line are joined. */
export class LogPrinter {
  readonly #options: LogPrinterOptions;
  /** Streams that stand in the middle of a line. */
  readonly #open = new Set<LogRecord['stream']>();

  constructor(options: LogPrinterOptions) {
    this.#options = options;
  }

  print(records: LogRecord[]): void {
    let pieces: Buffer[] = [];
    for (const [i, record] of records.entries()) {
      if (this.#options.timestamps && !this.#open.has(record.stream))
        pieces.push(Buffer.from(`${record.timestamp} `));
      pieces.push(record.content);
      if (record.partial) this.#open.add(record.stream);
      else {
        this.#open.delete(record.stream);
        pieces.push(newline);
      }
      // One write for a run of records of one stream keeps the order between the two.
      if (records[i + 1]?.stream === record.stream) continue;
      this.#options[record.stream].write(Buffer.concat(pieces));
      pieces = [];
    }
  }
}
