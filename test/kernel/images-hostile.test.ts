import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { ImageError } from '@amphipod/images';
import {
  buildImageLayout,
  type Entry,
  type HeaderField,
  rawMember,
  sizeField,
  tarBlock,
} from '@amphipod/images/testing';
import { isCode, listXattrs, MS, mount, unmount } from '@amphipod/linux';
import fc from 'fast-check';
import { listTree, openStore, scratch, unpackInto, unpackLayer } from './images-support.ts';

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
  t.after(() => swapper.terminate());
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
  for (let i = 0; i < 100; i++) {
    const outcome = await unpackInto(root, dir, entries).catch((error: Error) => error);
    if (outcome instanceof Error) assert.ok(outcome instanceof ImageError, String(outcome));
    outcomes.add(outcome instanceof Error ? 'refused' : 'unpacked');
    assert.deepEqual(look(), untouched);
  }
  t.diagnostic(`outcomes: ${[...outcomes].join(', ')}`);
});

test('names, sizes and depths beyond all bounds end in an error that says what', async (t) => {
  const dir = scratch(t);
  const oversize = (bytes: string) =>
    Buffer.concat([
      rawMember(
        tarBlock([
          [0, 'f'],
          [124, bytes],
        ]),
      ),
      Buffer.alloc(1024),
    ]);
  const archives: Record<string, [Entry[] | Buffer, RegExp]> = {
    'a path of 5 KB': [[{ path: `${'p/'.repeat(2500)}f`, data: '' }], /ENAMETOOLONG/],
    'a name of 300 bytes': [[{ path: 'n'.repeat(300), data: '' }], /ENAMETOOLONG/],
    'a target of 5 KB': [[{ path: 'l', type: 'symlink', linkPath: 't'.repeat(5000) }], /ENAMETOOLONG/],
    'a NUL in a name': [[{ path: 'f', pax: { path: 'a\0b' } }], /NUL byte/],
    'a NUL in a target': [
      [{ path: 'f', type: 'symlink', linkPath: 'x', pax: { linkpath: 'a\0b' } }],
      /NUL byte/,
    ],
    'a negative size': [oversize('\xff'.repeat(12)), /size is negative/],
    'a size of 2^62': [oversize('\x80\0\0\0\x40\0\0\0\0\0\0\0'), /size is too large/],
    'a size beyond the archive': [oversize('77777777777\0'), /ends in or after entry "f"/],
    'a size that is no number': [[{ path: 'f', pax: { size: '1e9' } }], /size "1e9" is not a number/],
    'a sparse file of 2^53 bytes': [
      [{ path: 'f', pax: { 'GNU.sparse.map': '', 'GNU.sparse.size': '9007199254740991' } }],
      /"f": EFBIG/,
    ],
    'a sparse map without an end': [endlessMap(), /more than 200000 pieces/],
    'a device that is none': [
      [{ path: 'd', type: 'char', devMajor: 70_000, devMinor: 1 }],
      /"d": device 70000:1/,
    ],
    'an owner of (uid_t)-1': [[{ path: 'f', uid: 4_294_967_295 }], /owner 4294967295:0 is out of range/],
    'an extension header of 2 MB': [
      rawMember(tarBlock([[0, 'x'], [156, 'x'], sizeField(2 << 20)])),
      /extension header of 2097152 bytes/,
    ],
    'two thousand global records': [globalRecords(2000), /too many global records/],
    'a device in a path': [
      [
        { path: 'dev', type: 'char', devMajor: 1, devMinor: 3 },
        { path: 'dev/x', data: '' },
      ],
      /unpack into directory "dev".*ENOTDIR/,
    ],
    'a fifo in a path': [
      [
        { path: 'fifo', type: 'fifo' },
        { path: 'fifo/x', data: '' },
      ],
      /unpack into directory "fifo".*ENOTDIR/,
    ],
  };
  for (const [what, [archive, message]] of Object.entries(archives)) {
    await assert.rejects(unpackLayer(dir, archive), (error: Error) => {
      assert.ok(error instanceof ImageError, `${what}: ${error.stack}`);
      assert.match(error.message, message, what);
      return true;
    });
  }
});

test('a tree of a thousand levels is made and removed', async (t) => {
  const dir = scratch(t);
  const { root } = await unpackLayer(dir, [
    { path: `${'d/'.repeat(1000)}f`, data: 'deep' },
    { path: 'd', data: 'in its place' },
  ]);
  assert.equal(readFileSync(`${root}/d`, 'utf8'), 'in its place');
});

test('a bomb fills its file system and not the memory, and leaves nothing', async (t) => {
  const dir = scratch(t);
  using stack = new DisposableStack();
  mkdirSync(`${dir}/small`);
  mount(`${dir}/small`, { type: 'tmpfs', source: 'bomb', data: 'size=32m' });
  stack.defer(() => unmount(`${dir}/small`));
  const zeros = Buffer.alloc(64 << 20);
  const header = tarBlock([[0, 'bomb'], sizeField(zeros.length * 16)]);
  // 1 GB of zeros: a megabyte with gzip, 100 KB with zstd.
  const bomb = Buffer.concat([header, ...Array.from({ length: 16 }, () => zeros), Buffer.alloc(1024)]);
  const store = await openStore(t, { root: `${dir}/small/store` });
  stack.defer(() => void store.close());
  for (const compression of ['gzip', 'zstd'] as const) {
    const layout = `${dir}/${compression}`;
    buildImageLayout(layout, { layers: [bomb], compression, name: 'x/bomb:1' });
    const before = process.memoryUsage().rss;
    await assert.rejects(store.load({ kind: 'oci-layout', path: layout }), { code: 'disk-full' });
    const grown = Math.round((process.memoryUsage().rss - before) / (1 << 20));
    assert.ok(grown < 100, `${grown} MB more`);
    assert.deepEqual(store.list(), []);
    assert.deepEqual([...readdirSync(`${store.root}/layers`), ...readdirSync(`${store.root}/tmp`)], []);
    assert.deepEqual(readdirSync(`${store.root}/blobs/sha256`), []);
  }
  await store.close();
});

/** Mode, owner, time and attributes of a directory. */
function describeDirectory(dir: string): string {
  const { mode, uid, gid, mtimeMs } = lstatSync(dir);
  return JSON.stringify([mode, uid, gid, mtimeMs, listXattrs(dir)]);
}

/** An old GNU sparse header that promises more and more of its map. */
function endlessMap(): Buffer {
  const header = tarBlock([
    ...([
      [0, 'sparse'],
      [156, 'S'],
      [257, 'ustar  \0'],
      [482, '\x01'],
      [483, '77777777777\0'],
    ] as HeaderField[]),
  ]);
  const block = Buffer.alloc(512);
  block.write('00000000000\0'.repeat(42), 0, 'latin1');
  block[504] = 1;
  return Buffer.concat([header, ...Array.from({ length: 10_000 }, () => block)]);
}

/** A global header with many records. */
function globalRecords(count: number): Buffer {
  const records = Array.from(
    { length: count },
    (_, i) => `20 key${String(i).padStart(6, '0')}=xxxxxx\n`,
  ).join('');
  return rawMember(tarBlock([[0, 'g'], [156, 'g'], sizeField(records.length)]), records);
}
