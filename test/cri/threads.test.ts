import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { namespaceId } from '@amphipod/linux';
import { useServer } from './support/fixture.ts';
import { removePod, runPod } from './support/pods.ts';

describe('threads of the daemon', () => {
  const fixture = useServer('amphipod');

  test('all are in its own network namespace after pods came and went', async () => {
    const pods = await Promise.all(Array.from({ length: 12 }, () => runPod(fixture.cri)));
    await Promise.all(pods.map((pod) => removePod(fixture.cri, pod)));
    const task = `/proc/${fixture.server.program().pid}/task`;
    const namespaces = readdirSync(task).map((tid) => namespaceId(`${task}/${tid}/ns/net`));
    // The pool's sixteen threads, the engine's, the unpacker's.
    assert.ok(namespaces.length >= 16, `${namespaces.length} threads`);
    assert.deepEqual(new Set(namespaces), new Set([namespaceId('/proc/self/ns/net')]));
  });
});
