import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from './log.ts';

function collect() {
  const lines: string[] = [];
  return { lines, write: (line: string) => lines.push(line) };
}

test('a JSON object for each line; children add fields and share the level', () => {
  const { lines, write } = collect();
  const log = createLog({ level: 'info', write });
  const child = log.child({ pod: 'a' });
  child.debug('no');
  child.warn('yes', { size: 12n, none: undefined });
  log.setLevel('debug');
  child.debug('now');
  const entries = lines.map((line) => JSON.parse(line));
  assert.deepEqual(
    entries.map(({ time: _, ...rest }) => rest),
    [
      { level: 'warn', message: 'yes', pod: 'a', size: '12' },
      { level: 'debug', message: 'now', pod: 'a' },
    ],
  );
  assert.ok(lines.every((line) => line.endsWith('}\n')));
});

test('text for people: one line, whatever is in the fields', () => {
  const { lines, write } = collect();
  createLog({ level: 'info', format: 'text', write }).info('ready', {
    socket: '/run/a.sock',
    why: 'two\nlines',
    n: 1,
  });
  assert.match(lines[0]!, /^\d{4}-\S+Z INFO {2}ready socket=\/run\/a\.sock why="two\\nlines" n=1\n$/);
});
