import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ImageError } from '@amphipod/images';
import {
  buildImageLayout,
  type Entry,
  type HeaderField,
  rawMember,
  sizeField,
  tarBlock,
} from '@amphipod/images/testing';
import { mount, unmount } from '@amphipod/linux';
import { openStore, scratch, unpackLayer } from './images-support.ts';

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
