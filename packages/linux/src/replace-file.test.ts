import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { replaceFile } from './replace-file.ts';

test('a file gets another text and mode, and nothing else is left', () => {
  const dir = mkdtempSync(join(tmpdir(), 'replace-file-test-'));
  try {
    const path = join(dir, 'a');
    replaceFile(path, 'first');
    assert.equal(statSync(path).mode & 0o777, 0o644);
    // What a process that was killed may have begun, longer than the new text.
    writeFileSync(`${path}.tmp`, 'something else', { mode: 0o666 });
    replaceFile(path, 'second', { mode: 0o600, durable: true });
    assert.equal(readFileSync(path, 'utf8'), 'second');
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(dir), ['a']);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('when the file cannot be replaced, the old one stays and nothing is left of the new one', () => {
  const dir = mkdtempSync(join(tmpdir(), 'replace-file-test-'));
  try {
    mkdirSync(join(dir, 'a', 'full'), { recursive: true });
    assert.throws(() => replaceFile(join(dir, 'a'), 'text'), { code: /EISDIR|ENOTEMPTY/ });
    assert.throws(() => replaceFile(join(dir, 'missing', 'a'), 'text'), { code: 'ENOENT' });
    assert.deepEqual(readdirSync(dir), ['a']);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
