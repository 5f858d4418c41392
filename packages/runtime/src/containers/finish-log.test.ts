import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { closingRecords } from './finish-log.ts';

const time = '2026-01-02T03:04:05.000000006+00:00';
const record = (stream: string, tag: string, content: string) => `${time} ${stream} ${tag} ${content}\n`;

describe('closingRecords (LOG-01)', () => {
  const cases: [string, string, string][] = [
    ['whole lines need none', record('stdout', 'F', 'a') + record('stderr', 'F', 'b'), ''],
    ['an empty log needs none', '', ''],
    ['a piece gets one', record('stdout', 'P', 'a'), record('stdout', 'F', '')],
    ['of its own stream', record('stderr', 'P', 'a') + record('stdout', 'F', 'b'), record('stderr', 'F', '')],
    ['a piece that was continued needs none', record('stdout', 'P', 'a') + record('stdout', 'F', 'b'), ''],
    ['content is not taken for a record', record('stdout', 'F', `x ${time} stderr P y`), ''],
    ['a cut record is ended', record('stdout', 'F', 'a').slice(0, -1), '\n'],
  ];
  for (const [name, tail, expected] of cases)
    it(name, () => assert.equal(closingRecords(tail, time), expected));
});
