import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

/** One line of a CRI log file. */
export interface LogEntry {
  time: string;
  stream: 'stdout' | 'stderr';
  /** P: the next entry of the stream continues this line. */
  tag: 'F' | 'P';
  content: string;
}

/** Every line of a log file. @throws AssertionError at a line that is none: `TIME STREAM TAG CONTENT` */
export function readLog(path: string): LogEntry[] {
  const text = readFileSync(path, 'utf8');
  assert.ok(text === '' || text.endsWith('\n'), `${path} ends in the middle of a line`);
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const match =
        /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}(?:Z|[+-]\d\d:\d\d)) (stdout|stderr) ([FP]) (.*)$/.exec(
          line,
        );
      assert.ok(match, `log line ${JSON.stringify(line.slice(0, 200))}`);
      const [, time, stream, tag, content] = match;
      return { time, stream, tag, content } as LogEntry;
    });
}

/** What the container wrote on a stream; a last line without its newline keeps being without. */
export function logText(path: string, stream: LogEntry['stream'] = 'stdout'): string {
  return readLog(path)
    .filter((entry) => entry.stream === stream)
    .map(({ tag, content }) => (tag === 'F' ? `${content}\n` : content))
    .join('');
}
