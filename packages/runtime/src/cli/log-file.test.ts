import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type ReadLogOptions, readLog } from './log-file.ts';

function record(content: string, tag = 'F'): string {
  return `2026-01-31T12:00:00.000000001Z stdout ${tag} ${content}\n`;
}

function logPath(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'amphipod-log-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, '0.log');
}

async function readAll(path: string, options?: ReadLogOptions): Promise<string[]> {
  const contents: string[] = [];
  for await (const records of readLog(path, options))
    contents.push(...records.map(({ content }) => `${content}`));
  return contents;
}

/** Follows a log and calls one step after another, each when the content before it has arrived. */
async function followSteps(path: string, steps: [content: string, then: () => void][]): Promise<string[]> {
  const contents: string[] = [];
  let at = 0;
  for await (const records of readLog(path, { follow: async () => at < steps.length, pollMs: 20 })) {
    for (const { content } of records) {
      contents.push(`${content}`);
      if (`${content}` === steps[at]?.[0]) steps[at++]![1]();
    }
  }
  return contents;
}

test('reads a log to its end', async (t) => {
  const path = logPath(t);
  writeFileSync(path, record('a') + record('b'));
  assert.deepEqual(await readAll(path), ['a', 'b']);
});

test('a missing log is an error', async () => {
  await assert.rejects(readAll('/nonexistent/0.log'), { code: 'ENOENT' });
});

test('tail counts lines of the program, not records', async (t) => {
  const path = logPath(t);
  writeFileSync(
    path,
    record('one') + record('tw', 'P') + record('o') + record('three') + record('unfinis', 'P'),
  );
  assert.deepEqual(await readAll(path, { tail: 0 }), []);
  assert.deepEqual(await readAll(path, { tail: 1 }), ['unfinis']);
  assert.deepEqual(await readAll(path, { tail: 2 }), ['three', 'unfinis']);
  assert.deepEqual(await readAll(path, { tail: 3 }), ['tw', 'o', 'three', 'unfinis']);
  assert.deepEqual(await readAll(path, { tail: 9 }), ['one', 'tw', 'o', 'three', 'unfinis']);
});

test('tail of a file of many blocks, with a line longer than a block', async (t) => {
  const path = logPath(t);
  const long = 'x'.repeat(200_000);
  const lines = Array.from({ length: 20_000 }, (_, i) => `line ${i}`);
  writeFileSync(path, [...lines, long, ...lines].map((line) => record(line)).join(''));
  for (const tail of [1, 3, 1999, 20_000, 20_001, 20_003, 40_001, 50_000]) {
    assert.deepEqual(await readAll(path, { tail }), [...lines, long, ...lines].slice(-tail), `tail ${tail}`);
  }
});

test('following goes on in the file that rotation puts in place, after the end of the old one', async (t) => {
  const path = logPath(t);
  writeFileSync(path, record('a'));
  const contents = await followSteps(path, [
    [
      'a',
      () => {
        renameSync(path, `${path}.20260131-120000`);
        appendFileSync(`${path}.20260131-120000`, record('b'));
        writeFileSync(path, record('c'));
      },
    ],
    ['c', () => appendFileSync(path, record('d'))],
    ['d', () => {}],
  ]);
  assert.deepEqual(contents, ['a', 'b', 'c', 'd']);
});

test('following starts over in a file that was cut', async (t) => {
  const path = logPath(t);
  writeFileSync(path, record('a long first line'));
  const contents = await followSteps(path, [
    [
      'a long first line',
      () => {
        truncateSync(path);
        setTimeout(() => appendFileSync(path, record('new')), 60);
      },
    ],
    ['new', () => {}],
  ]);
  assert.deepEqual(contents, ['a long first line', 'new']);
});

test('what was written before the container was seen to have ended is not missed', async (t) => {
  const path = logPath(t);
  writeFileSync(path, record('a'));
  let written = false;
  const follow = async () => {
    if (!written) appendFileSync(path, record('last words'));
    written = true;
    return false;
  };
  assert.deepEqual(await readAll(path, { follow, pollMs: 20 }), ['a', 'last words']);
});

test('an aborted signal ends the following', async (t) => {
  const path = logPath(t);
  writeFileSync(path, record('a'));
  const abort = new AbortController();
  setTimeout(() => abort.abort(), 30);
  assert.deepEqual(await readAll(path, { follow: async () => true, signal: abort.signal }), ['a']);
});
