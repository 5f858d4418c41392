import assert from 'node:assert/strict';
import { test } from 'node:test';
import { progressLine } from './pull-image.ts';

function layer(doneBytes: number, totalBytes: number, state = 'downloading') {
  return { digest: 'sha256:x', doneBytes, totalBytes, state };
}

test('the progress of all layers together', () => {
  const layers = [layer(10, 50, 'unpacking'), layer(25, 50)];
  assert.equal(
    progressLine({ reference: 'x', layers }, 62),
    'downloading  [==============>    ]  75 B of 100 B  0/2 layers',
  );
});

test('when everything has arrived, what is unpacked counts', () => {
  const layers = [layer(50, 50, 'done'), layer(10, 50, 'unpacking')];
  assert.match(progressLine({ reference: 'x', layers }, 80), /^unpacking .* 60 B of 100 B {2}1\/2 layers$/);
});

test('stays within the terminal, however narrow or far', () => {
  for (const columns of [0, 20, 40, 80, 200]) {
    for (const done of [0, 1, 99, 100, 150]) {
      const line = progressLine({ reference: 'x', layers: [layer(done, 100)] }, columns);
      assert.ok(line.length <= Math.max(columns, 45), `${columns} ${done}: ${line.length}`);
    }
  }
});

test('nothing before any size is known', () => {
  assert.equal(progressLine({ reference: 'x', layers: [layer(0, 0, 'waiting')] }, 80), '');
});
