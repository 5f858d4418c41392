import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LogParser, parseLogLine, timestampNs } from './cri-log.ts';

const time = '2026-01-31T12:00:00.123456789Z';

test('a full and a partial record', () => {
  const full = parseLogLine(Buffer.from(`${time} stdout F hello  world `));
  assert.deepEqual(full && { ...full, content: full.content.toString() }, {
    timestamp: time,
    stream: 'stdout',
    partial: false,
    content: 'hello  world ',
  });
  assert.equal(parseLogLine(Buffer.from(`${time} stderr P x`))?.partial, true);
});

test('the first of several tags decides', () => {
  assert.equal(parseLogLine(Buffer.from(`${time} stdout P:more x`))?.partial, true);
  assert.equal(parseLogLine(Buffer.from(`${time} stdout F:P x`))?.partial, false);
});

test('empty output, with and without the space before it', () => {
  assert.equal(parseLogLine(Buffer.from(`${time} stdout F `))?.content.length, 0);
  assert.equal(parseLogLine(Buffer.from(`${time} stdout F`))?.content.length, 0);
});

test('anything else is no record', () => {
  for (const line of [
    '',
    'x',
    `${time}`,
    `${time} stdout`,
    `${time} stdin F x`,
    `${time} stdout X x`,
    '  F x',
  ]) {
    assert.equal(parseLogLine(Buffer.from(line)), undefined, JSON.stringify(line));
  }
});

test('any bytes survive, however the file is cut into chunks', () => {
  const line = fc
    .uint8Array({ maxLength: 40 })
    .map((bytes) => Buffer.from(bytes).map((b) => (b === 10 ? 13 : b)));
  fc.assert(
    fc.property(fc.array(line, { maxLength: 20 }), fc.array(fc.nat(30)), (lines, cuts) => {
      const file = Buffer.concat(
        lines.flatMap((content) => [Buffer.from(`${time} stdout F `), content, Buffer.from('\n')]),
      );
      const parser = new LogParser();
      const contents: Buffer[] = [];
      let start = 0;
      for (const length of [...cuts, file.length]) {
        const chunk = file.subarray(start, start + length);
        start += length;
        contents.push(...parser.push(chunk).map(({ content }) => content));
      }
      assert.deepEqual(
        contents.map(String),
        lines.map((bytes) => String(Buffer.from(bytes))),
      );
      assert.ok(contents.every((content, i) => content.equals(lines[i]!)));
    }),
  );
});

test('lines that are no records are left out, the others stay', () => {
  const text = `${time} stdout F a\nrubbish\n${time} stderr F b\n`;
  assert.deepEqual(
    new LogParser().push(Buffer.from(text)).map(({ content }) => String(content)),
    ['a', 'b'],
  );
});

test('times compare to the nanosecond, with any number of decimals and any zone', () => {
  assert.equal(timestampNs('1970-01-01T00:00:01Z'), 1_000_000_000n);
  assert.equal(timestampNs('1970-01-01T01:00:01.5+01:00'), 1_500_000_000n);
  assert.equal(timestampNs(time) - timestampNs('2026-01-31T12:00:00.123456788Z'), 1n);
  assert.throws(() => timestampNs('yesterday'), /parse time "yesterday": expected RFC 3339/);
});
