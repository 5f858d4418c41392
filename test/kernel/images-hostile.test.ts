import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { ImageError } from '@amphipod/images';
import type { Entry } from '@amphipod/images/testing';
import { isCode, listXattrs, MS, mount, unmount } from '@amphipod/linux';
import fc from 'fast-check';
import { listTree, scratch, unpackInto, unpackLayer } from './images-support.ts';

test('hostile layers never touch anything outside their root', async (t) => {
  const dir = scratch(t);
  const outside = `${dir}/outside`;
  mkdirSync(outside);
  writeFileSync(`${outside}/secret`, 'secret', { mode: 0o600 });
  const before = () => listTree(outside, '%P %y %m %U:%G %s %n %T@');
  const untouched = before();
  const part = fc.constantFrom(
    '..',
    '.',
    'a',
    'b',
    'l',
    'outside',
    'secret',
    '',
    'etc',
    '.wh.a',
    '.wh..wh..opq',
    '.wh.secret',
  );
  const path = fc.oneof(
    fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/')),
    fc.constantFrom(
      outside,
      `${outside}/secret`,
      `l${outside}/secret`,
      '/proc/self/root',
      '../outside/secret',
      'l/secret',
      'l/new',
      'a/secret',
    ),
  );
  const entry = fc.record({
    path,
    type: fc.constantFrom('file', 'directory', 'symlink', 'hardlink', 'symlink' as const),
    linkPath: path,
    data: fc.constant('overwritten'),
    mode: fc.constant(0o777),
    uid: fc.constant(12),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 12 }), async (entries) => {
      try {
        const { root } = await unpackLayer(dir, entries as Entry[]);
        // A hard link to the secret would show as one inode more.
        assert.ok(!listTree(root, '%i').includes(String(lstatSync(`${outside}/secret`).ino)));
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
        assert.ok(isCode(error, 'unsafe-path', 'invalid-archive', 'unpack-failed'), String(error));
      }
      assert.deepEqual(before(), untouched);
    }),
    { numRuns: 400 },
  );
});

test('known escapes are refused or end inside', async (t) => {
  const dir = scratch(t);
  mkdirSync(`${dir}/outside`);
  writeFileSync(`${dir}/outside/secret`, 'secret');
  const through: Entry[][] = [
    [
      { path: 'l', type: 'symlink', linkPath: `${dir}/outside` },
      { path: 'l/secret', data: 'x' },
    ],
    [
      { path: 'l', type: 'symlink', linkPath: '../outside' },
      { path: 'l/secret', data: 'x' },
    ],
    [
      { path: 'l', type: 'symlink', linkPath: '../outside' },
      { path: 'l/.wh.secret', data: '' },
    ],
    [
      { path: 'l', type: 'symlink', linkPath: '../outside' },
      { path: 'l/.wh..wh..opq', data: '' },
    ],
    [
      { path: 'l', type: 'symlink', linkPath: '../outside/secret' },
      { path: 'l', data: 'x' },
    ],
    [
      { path: 'l', type: 'symlink', linkPath: '/proc/self/root' },
      { path: `l${dir}/outside/secret`, data: 'x' },
    ],
    [
      { path: 'l', type: 'symlink', linkPath: 'l' },
      { path: 'l/x', data: 'x' },
    ],
    [
      { path: 'l', type: 'symlink', linkPath: '../outside' },
      { path: 'h', type: 'hardlink', linkPath: 'l/secret' },
    ],
    [{ path: '../outside/secret', data: 'x' }],
    [{ path: '..', type: 'directory', mode: 0o777 }],
    [{ path: 'a/../../outside/secret', data: 'x' }],
    [
      { path: 'l', type: 'symlink', linkPath: '../outside/secret' },
      { path: 'h', type: 'hardlink', linkPath: 'l' },
      { path: 'h', data: 'x' },
    ],
    [
      { path: 'l', type: 'symlink', linkPath: '../outside' },
      { path: 'l', type: 'directory', mode: 0o777, uid: 7 },
    ],
    [
      { path: 'l', type: 'symlink', linkPath: '../outside' },
      { path: 'l/new', type: 'directory' },
      { path: 'l/dev', type: 'char', devMajor: 1, devMinor: 3 },
      { path: 'l/fifo', type: 'fifo' },
      { path: 'l/link', type: 'symlink', linkPath: 'x' },
    ],
    [
      { path: 'a', type: 'symlink', linkPath: 'b' },
      { path: 'b', type: 'symlink', linkPath: '../outside' },
      { path: 'a/secret', type: 'hardlink', linkPath: 'a/../outside/secret' },
      { path: 'a/.wh.secret' },
    ],
    [{ path: 'x', type: 'hardlink', linkPath: `${dir}/outside/secret` }],
    [{ path: 'x', type: 'hardlink', linkPath: '/proc/self/root/etc/passwd' }],
  ];
  for (const entries of through) {
    await unpackLayer(dir, entries).catch((error) =>
      assert.ok(isCode(error, 'unsafe-path', 'invalid-archive'), String(error)),
    );
    assert.equal(readFileSync(`${dir}/outside/secret`, 'utf8'), 'secret');
    assert.deepEqual(readdirSync(`${dir}/outside`), ['secret']);
  }
});

test('what is mounted in the tree is neither entered nor removed; a tree on a mount of its own is as good as any', async (t) => {
  const dir = scratch(t);
  using stack = new DisposableStack();
  for (const name of ['root', 'other']) {
    mkdirSync(`${dir}/${name}`);
    mount(`${dir}/${name}`, { type: 'tmpfs', source: 'hostile' });
    stack.defer(() => unmount(`${dir}/${name}`));
  }
  writeFileSync(`${dir}/other/secret`, 'secret');
  mkdirSync(`${dir}/root/mnt`);
  mount(`${dir}/root/mnt`, { source: `${dir}/other`, flags: MS.BIND });
  stack.defer(() => unmount(`${dir}/root/mnt`));
  const layers: Entry[][] = [
    [{ path: 'mnt/new', data: 'x' }],
    [{ path: 'mnt/.wh.secret' }],
    [{ path: 'mnt/.wh..wh..opq' }],
    [{ path: 'mnt', data: 'in its place' }],
    [{ path: 'mnt', type: 'symlink', linkPath: 'x' }],
    [{ path: 'h', type: 'hardlink', linkPath: 'mnt/secret' }],
    [
      { path: 'l', type: 'symlink', linkPath: 'mnt' },
      { path: 'l/new', data: 'x' },
    ],
  ];
  for (const entries of layers) {
    await assert.rejects(unpackInto(`${dir}/root`, dir, entries), (error) =>
      isCode(error, 'invalid-archive', 'unpack-failed'),
    );
    assert.deepEqual(listTree(`${dir}/other`, '%P %m %s %n'), ['secret 644 6 1']);
  }
  await unpackInto(`${dir}/root`, dir, [{ path: 'd/f', data: 'x' }, { path: '.wh.gone' }]);
  assert.equal(readFileSync(`${dir}/root/d/f`, 'utf8'), 'x');
});

test('names that are swapped for links while a layer is unpacked lead nowhere', async (t) => {
  const dir = scratch(t);
  const [root, outside] = [`${dir}/root`, `${dir}/outside`];
  mkdirSync(`${root}/d`, { recursive: true });
  mkdirSync(outside);
  writeFileSync(`${outside}/f`, 'secret', { mode: 0o600 });
  const look = () => [...listTree(outside, '%P %y %m %U:%G %s %n %T@'), describeDirectory(outside)];
  const untouched = look();
  const swapper = new Worker(
    `const { renameSync, symlinkSync, unlinkSync } = require('node:fs');
    const { root, outside, stop } = require('node:worker_threads').workerData;
    const attempt = (work) => { try { work(); } catch {} };
    while (Atomics.load(stop, 0) === 0) {
      for (const [name, target] of [['d', outside], ['f', outside + '/f'], ['p', outside + '/f']]) {
        attempt(() => renameSync(root + '/' + name, root + '/.' + name));
        attempt(() => symlinkSync(target, root + '/' + name));
        attempt(() => unlinkSync(root + '/' + name));
        attempt(() => renameSync(root + '/.' + name, root + '/' + name));
      }
    }`,
    { eval: true, workerData: { root, outside, stop: new Int32Array(new SharedArrayBuffer(4)) } },
  );
  const entries: Entry[] = [
    { path: 'd', type: 'directory', mode: 0o777, uid: 9, mtime: 5 },
    { path: 'd/f', data: 'overwritten', mode: 0o777, uid: 9, xattrs: { 'user.x': 'y' } },
    { path: 'd/.wh.f' },
    { path: 'd/.wh..wh..opq' },
    { path: 'd/h', type: 'hardlink', linkPath: 'd/f' },
    { path: 'f', data: 'overwritten', mode: 0o777, uid: 9 },
    { path: 'p', type: 'fifo', mode: 0o777, uid: 9, mtime: 5, xattrs: { 'trusted.x': 'y' } },
  ];
  const outcomes = new Set<string>();
  try {
    for (let i = 0; i < 100; i++) {
      const outcome = await unpackInto(root, dir, entries).catch((error: Error) => error);
      if (outcome instanceof Error) assert.ok(outcome instanceof ImageError, String(outcome));
      outcomes.add(outcome instanceof Error ? 'refused' : 'unpacked');
      assert.deepEqual(look(), untouched);
    }
  } finally {
    // Before the directory is removed.
    await swapper.terminate();
  }
  t.diagnostic(`outcomes: ${[...outcomes].join(', ')}`);
});

/** Mode, owner, time and attributes of a directory. */
function describeDirectory(dir: string): string {
  const { mode, uid, gid, mtimeMs } = lstatSync(dir);
  return JSON.stringify([mode, uid, gid, mtimeMs, listXattrs(dir)]);
}
