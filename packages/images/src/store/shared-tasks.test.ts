import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SharedTasks } from './shared-tasks.ts';

/** Work that runs until it is told how to end, or aborted. */
function controlled() {
  const runs: PromiseWithResolvers<string>[] = [];
  const start = (signal: AbortSignal) => {
    const run = Promise.withResolvers<string>();
    runs.push(run);
    signal.addEventListener('abort', () => run.reject(signal.reason), { once: true });
    return run.promise;
  };
  return { runs, start };
}

test('callers of one key share one run; it is given up when the last has gone', async () => {
  const tasks = new SharedTasks<string>();
  const { runs, start } = controlled();
  const [one, two] = [new AbortController(), new AbortController()];
  const first = tasks.run('k', { signal: one.signal }, start);
  const second = tasks.run('k', { signal: two.signal }, start);
  one.abort(new Error('one'));
  await assert.rejects(first, /one/);
  two.abort(new Error('two'));
  await assert.rejects(second, /two/);
  assert.equal(runs.length, 1);
  const third = tasks.run('k', {}, start);
  runs[1]!.resolve('done');
  assert.equal(await third, 'done');
});

test('a failure is tried once more by those who only joined; with failsForAll it is theirs too', async () => {
  for (const failsForAll of [false, true]) {
    const tasks = new SharedTasks<string>({ failsForAll });
    const { runs, start } = controlled();
    const calls = Array.from({ length: 4 }, () => tasks.run('k', {}, start));
    const settled = Promise.allSettled(calls);
    runs[0]!.reject(new Error('broken'));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(runs.length, failsForAll ? 1 : 2);
    runs[1]?.resolve('done');
    const states = (await settled).map(({ status }) => status);
    const others = failsForAll ? 'rejected' : 'fulfilled';
    assert.deepEqual(states, ['rejected', others, others, others]);
  }
});

test('who comes while a run is being given up gets one of his own', async () => {
  const tasks = new SharedTasks<string>({ failsForAll: true });
  const controller = new AbortController();
  const ending = Promise.withResolvers<string>();
  const first = tasks.run('k', { signal: controller.signal }, () => ending.promise);
  controller.abort(new Error('enough'));
  const failed = assert.rejects(first, /enough/);
  await new Promise((resolve) => setImmediate(resolve));
  const second = tasks.run('k', {}, async () => 'fresh');
  ending.reject(new Error('given up'));
  await failed;
  assert.equal(await second, 'fresh');
});

test('what was done before it heard that nobody wants it is not thrown away', async () => {
  const tasks = new SharedTasks<string>();
  const controller = new AbortController();
  const call = tasks.run('k', { signal: controller.signal }, async () => {
    await new Promise((resolve) => setImmediate(resolve));
    return 'done';
  });
  controller.abort(new Error('too late'));
  assert.equal(await call, 'done');
});
