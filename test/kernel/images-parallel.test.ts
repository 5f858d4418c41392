import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { buildImageLayout, type Entry } from '@amphipod/images/testing';
import { listTree, mountImage, openStore, scratch } from './images-support.ts';

/** A big first layer, so that the later ones are unpacked before the ones below them are there. */
const layers: Entry[][] = [
  [
    { path: 'gone', data: '1' },
    { path: 'dir', type: 'directory', mode: 0o1777, uid: 5, mtime: 7 },
    { path: 'dir/keep', data: '1' },
    { path: 'dir/old', data: '1' },
    { path: 'opaque/old', data: '1' },
    ...Array.from(
      { length: 400 },
      (_, i): Entry => ({ path: `many/d${i % 20}/f${i}`, data: 'x'.repeat(i * 20), uid: i }),
    ),
  ],
  [{ path: '.wh.gone' }, { path: 'dir/.wh.old' }, { path: 'opaque/.wh..wh..opq' }, { path: 'many/.wh.d3' }],
  [
    { path: 'dir/new', data: '2' },
    { path: 'opaque/new', data: '2' },
    { path: 'many/d3/again', data: '2' },
  ],
  [{ path: 'many/d4', data: 'now a file' }, { path: 'dir/new/.wh.nothing' }],
  [
    { path: 'many/.wh.d5' },
    { path: 'many/d5', type: 'symlink', linkPath: 'd6' },
    { path: 'implied/deep/x', data: '3' },
  ],
];

test('IMG-01: the same tree however many layers are unpacked at a time', async (t) => {
  const layout = `${scratch(t)}/layout`;
  buildImageLayout(layout, { layers, name: 'x/parallel:1' });
  const trees = new Set<string>();
  for (const threads of [1, 2, 8]) {
    for (let round = 0; round < 3; round++) {
      const store = await openStore(t, { threads });
      const [image] = await store.load({ kind: 'oci-layout', path: layout });
      const root = mountImage(t, store, image!.id);
      const names = listTree(root, '%P %y %m %U:%G %s %n %l');
      assert.ok(!names.some((line) => /^(gone|dir\/old|opaque\/old|many\/d3\/f3) /.test(line)));
      const sums = execFileSync('sh', ['-c', 'find . -type f -print0 | sort -z | xargs -0 sha256sum'], {
        cwd: root,
        encoding: 'utf8',
      });
      trees.add([...names, sums].join('\n'));
      await store.close();
    }
  }
  assert.equal(trees.size, 1);
  const [tree] = [...trees];
  assert.match(tree!, /^dir d 1777 5:0 /m);
  assert.match(tree!, /^many\/d4 f /m);
  assert.match(tree!, /^many\/d5 l .* d6$/m);
});
