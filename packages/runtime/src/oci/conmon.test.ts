import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runtimeMessage } from './conmon.ts';

describe('runtimeMessage', () => {
  it("takes the text out of runc's lines, JSON lines and plain text", () => {
    const runc =
      'time="2026-01-01T00:00:00Z" level=error msg="runc create failed: exec: \\"nope\\": not found"';
    assert.equal(runtimeMessage(runc), 'exec: "nope": not found');
    assert.equal(runtimeMessage('{"level":"error","msg":"a"}\n{"msg":"b"}\n'), 'a; b');
    assert.equal(runtimeMessage('plain\n'), 'plain');
    assert.equal(runtimeMessage(''), '');
  });
});
