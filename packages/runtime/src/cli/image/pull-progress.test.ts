import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PullLayer, progressLines } from './pull-progress.ts';

function layer(doneBytes: number, totalBytes: number, state = 'downloading', digit = 'a'): PullLayer {
  return { digest: `sha256:${digit.repeat(64)}`, doneBytes, totalBytes, state };
}

test('a line for each layer, and one for all of them', () => {
  const layers = [
    layer(10, 50, 'unpacking'),
    layer(25, 50),
    layer(0, 0, 'waiting', 'c'),
    layer(7, 7, 'exists', 'd'),
  ];
  assert.deepEqual(progressLines(layers, { columns: 70, rows: 24 }), [
    'aaaaaaaaaaaa  unpacking    [=====>                     ]  10 B of 50 B',
    'aaaaaaaaaaaa  downloading  [==============>            ]  25 B of 50 B',
    'cccccccccccc  waiting',
    'dddddddddddd  is here      7 B',
    '1 of 4 layers              [============>             ]  50 B of 107 B',
  ]);
});

test('stays within the terminal, however small and however many layers there are', () => {
  const layers = Array.from({ length: 100 }, (_, i) =>
    layer(i, 100, ['done', 'downloading', 'unpacking', 'waiting'][i % 4]),
  );
  for (const columns of [1, 20, 40, 80, 200]) {
    for (const rows of [1, 2, 10, 40, 200]) {
      const lines = progressLines(layers, { columns, rows });
      assert.ok(
        lines.every((line) => line.length <= columns),
        `${columns}`,
      );
      assert.ok(lines.length <= Math.max(2, rows - 1), `${rows}: ${lines.length}`);
      assert.ok(columns < 40 || lines.at(-1)!.startsWith('25 of 100 layers'));
    }
  }
});

test('sizes that nobody knows, and more bytes than were announced', () => {
  assert.match(progressLines([layer(0, 0)], { columns: 80, rows: 24 })[0]!, /0 B of 0 B$/);
  assert.match(progressLines([layer(150, 100)], { columns: 80, rows: 24 })[0]!, /\[=+\] {2}150 B of 100 B$/);
});
