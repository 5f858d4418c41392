import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyedSemaphore, Semaphore } from './semaphore.ts';

const turns = () => new Promise((resolve) => setImmediate(resolve));

test('so many at a time, in order; who is aborted while waiting leaves at once and takes no place', async () => {
  const semaphore = new Semaphore(2);
  const started: number[] = [];
  const gates = Array.from({ length: 5 }, () => Promise.withResolvers<void>());
  const controller = new AbortController();
  const calls = gates.map((gate, i) =>
    semaphore.run(
      () => {
        started.push(i);
        return gate.promise;
      },
      i === 2 ? controller.signal : undefined,
    ),
  );
  await turns();
  assert.deepEqual(started, [0, 1]);
  controller.abort(new Error('enough'));
  await assert.rejects(calls[2]!, /enough/);
  gates[0]!.reject(new Error('failed'));
  await assert.rejects(calls[0]!, /failed/);
  await turns();
  assert.deepEqual(started, [0, 1, 3]);
  for (const gate of gates) gate.resolve();
  await Promise.all([calls[1], calls[3], calls[4]]);
  assert.deepEqual(started, [0, 1, 3, 4]);
  await assert.rejects(semaphore.run(turns, controller.signal), /enough/);
});

test('nobody waits for those of another key', async () => {
  const semaphore = new KeyedSemaphore(1);
  const gate = Promise.withResolvers<void>();
  const slow = semaphore.run('slow', () => gate.promise);
  let hasRun = false;
  const behind = semaphore.run('slow', async () => {
    hasRun = true;
  });
  assert.equal(await semaphore.run('other', async () => 'done'), 'done');
  assert.equal(hasRun, false);
  gate.resolve();
  await Promise.all([slow, behind]);
  assert.equal(hasRun, true);
});
