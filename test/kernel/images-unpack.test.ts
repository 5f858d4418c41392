import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { type Entry, writeTar } from '@amphipod/images/testing';
import { getXattr } from '@amphipod/linux';
import fc from 'fast-check';
import { listTree, scratch, unpackLayer } from './images-support.ts';

const isWhiteout = (path: string) => lstatSync(path).isCharacterDevice() && lstatSync(path).rdev === 0;

test('owners, modes with setuid, times, devices, links and capabilities are as the archive says', async (t) => {
  const dir = scratch(t);
  // VFS_CAP_REVISION_2 with cap_net_raw=ep.
  const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
  const { root, warnings } = await unpackLayer(dir, [
    { path: './', type: 'directory', mode: 0o751, mtime: 11 },
    { path: 'tmp', type: 'directory', mode: 0o1777, mtime: 12.5 },
    { path: 'tmp/su', data: 'x', mode: 0o6755, uid: 7, gid: 8, mtime: 13.000000001 },
    {
      path: 'ping',
      data: 'x',
      uid: 5,
      xattrs: {
        'security.capability': capability,
        'security.selinux': 'label',
        'user.a': 'b',
        'trusted.overlay.opaque': 'y',
      },
    },
    { path: 'link', type: 'symlink', linkPath: '/nowhere', uid: 9, mtime: 14 },
    { path: 'hard', type: 'hardlink', linkPath: 'tmp/su' },
    { path: 'fifo', type: 'fifo', mode: 0o620 },
    { path: 'null', type: 'char', mode: 0o666, devMajor: 1, devMinor: 3 },
    { path: 'disk', type: 'block', devMajor: 259, devMinor: 70_000 },
  ]);
  assert.deepEqual(listTree(root, '%P %y %m %U:%G %s %n %T@ %l'), [
    `disk b 644 0:0 0 1 0.0000000000 `,
    `fifo p 620 0:0 0 1 0.0000000000 `,
    `hard f 6755 7:8 1 2 13.0000000010 `,
    `link l 777 9:0 8 1 14.0000000000 /nowhere`,
    `null c 666 0:0 0 1 0.0000000000 `,
    `ping f 644 5:0 1 1 0.0000000000 `,
    `tmp d 1777 0:0 4096 2 12.5000000000 `,
    `tmp/su f 6755 7:8 1 2 13.0000000010 `,
  ]);
  assert.equal(lstatSync(`${root}/disk`).rdev, Number(execFileSync('stat', ['-c', '%r', `${root}/disk`])));
  assert.equal(execFileSync('stat', ['-c', '%Hr:%Lr', `${root}/disk`], { encoding: 'utf8' }), '259:70000\n');
  assert.equal(lstatSync(root).mode & 0o7777, 0o751);
  assert.equal(lstatSync(root).mtimeMs, 11_000);
  assert.deepEqual(getXattr(`${root}/ping`, 'security.capability'), capability);
  assert.equal(getXattr(`${root}/ping`, 'user.a')?.toString(), 'b');
  assert.equal(getXattr(`${root}/ping`, 'trusted.overlay.opaque'), undefined);
  assert.notEqual(getXattr(`${root}/ping`, 'security.selinux')?.toString(), 'label');
  assert.deepEqual(warnings, []);
});

test('IMG-03: a directory gives way to a file, a link, and the other way round; the last entry wins', async (t) => {
  const dir = scratch(t);
  const deep: Entry[] = [{ path: 'big', type: 'directory' }];
  for (let i = 0; i < 3000; i++)
    deep.push({ path: `big/${i % 10}/${i % 3}/${'n'.repeat(200)}${i}`, data: 'x' });
  const asFile = await unpackLayer(dir, [...deep, { path: 'big', data: 'file' }]);
  assert.deepEqual(listTree(asFile.root), ['big f 644 0:0 4 -> ']);
  const asLink = await unpackLayer(dir, [
    ...deep,
    { path: 'other/x', data: '' },
    { path: 'big', type: 'symlink', linkPath: 'other' },
  ]);
  assert.equal(readlinkSync(`${asLink.root}/big`), 'other');
  const asDir = await unpackLayer(dir, [
    { path: 'big', data: 'file' },
    { path: 'big', type: 'directory' },
    { path: 'big/a', data: '1' },
  ]);
  assert.deepEqual(listTree(asDir.root, '%P %y'), ['big d', 'big/a f']);
  // The parent that was cached must not be written to after it was replaced.
  const again = await unpackLayer(dir, [
    { path: 'd/a', data: '1' },
    { path: 'd', type: 'symlink', linkPath: 'e' },
    { path: 'd/b', data: '2' },
  ]);
  assert.deepEqual(listTree(again.root, '%P %y'), ['d l', 'e d', 'e/b f']);
});

test("a file entry that comes twice does not write through the first one's hard link", async (t) => {
  const { root } = await unpackLayer(scratch(t), [
    { path: 'a', data: 'first' },
    { path: 'b', type: 'hardlink', linkPath: 'a' },
    { path: 'a', data: 'second' },
  ]);
  assert.equal(readFileSync(`${root}/a`, 'utf8'), 'second');
  assert.equal(readFileSync(`${root}/b`, 'utf8'), 'first');
});

test('IMG-04, IMG-05, IMG-06: hard links with missing parents, to symlinks, and with absolute targets', async (t) => {
  const dir = scratch(t);
  const { root } = await unpackLayer(dir, [
    { path: 'bin/tool', data: 'x', mode: 0o755 },
    { path: 'bin/tool.rf/_main/tool_/tool', type: 'hardlink', linkPath: 'bin/tool' },
    { path: 'tmp/x', type: 'symlink', linkPath: '/tmp/z' },
    { path: 'tmp/y', type: 'hardlink', linkPath: 'tmp/x' },
    { path: 'bin/alias', type: 'hardlink', linkPath: '/bin/tool' },
    { path: 'bin/tool', type: 'hardlink', linkPath: 'bin/tool' },
  ]);
  assert.equal(lstatSync(`${root}/bin/tool`).ino, lstatSync(`${root}/bin/tool.rf/_main/tool_/tool`).ino);
  assert.equal(lstatSync(`${root}/bin/tool`).ino, lstatSync(`${root}/bin/alias`).ino);
  assert.equal(lstatSync(`${root}/bin/tool.rf`).mode & 0o7777, 0o755);
  assert.equal(lstatSync(`${root}/tmp/x`).ino, lstatSync(`${root}/tmp/y`).ino);
  assert.equal(readlinkSync(`${root}/tmp/y`), '/tmp/z');
  for (const target of ['/../victim', '../../victim', 'a/../../victim']) {
    await assert.rejects(unpackLayer(dir, [{ path: 'h', type: 'hardlink', linkPath: target }]), {
      code: 'unsafe-path',
      message: /"h"/,
    });
  }
  await assert.rejects(unpackLayer(dir, [{ path: 'h', type: 'hardlink', linkPath: 'missing' }]), {
    code: 'invalid-archive',
    message: /"h".*"missing"/,
  });
});

test("whiteouts become overlay's, wherever they stand", async (t) => {
  const dir = scratch(t);
  const { root } = await unpackLayer(dir, [
    { path: '.wh.gone', data: '' },
    { path: 'dir', type: 'directory' },
    { path: 'dir/.wh..wh..opq', data: '' },
    { path: 'dir/new', data: '1' },
    { path: '.wh..wh.plnk/1.2', data: 'aufs' },
    { path: '.wh.again', data: '' },
    { path: 'again', type: 'directory' },
    { path: 'again/x', data: '1' },
    { path: 'kept', type: 'directory' },
    { path: '.wh.kept', data: '' },
    { path: '.wh.implied', data: '' },
    { path: 'implied/x', data: '1' },
    { path: 'file', data: '1' },
    { path: '.wh.file', data: '' },
    { path: '.wh.twice', data: '' },
    { path: '.wh.twice', data: '' },
  ]);
  assert.deepEqual(listTree(root, '%P %y'), [
    'again d',
    'again/x f',
    'dir d',
    'dir/new f',
    'file f',
    'gone c',
    'implied d',
    'implied/x f',
    'kept d',
    'twice c',
  ]);
  assert.ok(isWhiteout(`${root}/gone`) && isWhiteout(`${root}/twice`));
  for (const name of ['dir', 'again', 'kept', 'implied']) {
    assert.equal(getXattr(`${root}/${name}`, 'trusted.overlay.opaque')?.toString(), 'y', name);
  }
  for (const path of ['.wh.', '.wh..', '.wh...', 'a/.wh...']) {
    await assert.rejects(unpackLayer(dir, [{ path, data: '' }]), { code: 'unsafe-path' }, path);
  }
});

test('names that are not UTF-8 keep their bytes', async (t) => {
  const archive = writeTar([{ path: 'caf?', data: '1' }]);
  archive[3] = 0xe9;
  archive.fill(' ', 148, 156);
  const sum = archive.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  archive.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  const { root } = await unpackLayer(scratch(t), archive);
  assert.deepEqual(readdirSync(root, { encoding: 'buffer' }), [Buffer.from([0x63, 0x61, 0x66, 0xe9])]);
});

test('IMG-11: attributes that the file system will not take are warned about', async (t) => {
  const { root, warnings } = await unpackLayer(scratch(t), [
    { path: 'link', type: 'symlink', linkPath: 'x', xattrs: { 'user.test': 'v' } },
  ]);
  assert.equal(readlinkSync(`${root}/link`), 'x');
  assert.match(warnings.join(), /user\.test.*"link".*EPERM/);
});

test('random trees come out as they went in', async (t) => {
  const dir = scratch(t);
  const name = fc.stringMatching(/^[a-z]{1,3}$/);
  const entry = fc.record({
    path: fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/')),
    type: fc.constantFrom('file', 'directory', 'symlink', 'fifo' as const),
    data: fc.string({ maxLength: 2000 }),
    mode: fc.nat(0o7777),
    uid: fc.nat(70_000),
    gid: fc.nat(70_000),
    mtime: fc.integer({ min: -1000, max: 2_000_000_000 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(entry, { selector: ({ path }) => path, maxLength: 40 }),
      async (drawn) => {
        // Parents before children, and only directories as parents.
        const kinds = new Map(drawn.map(({ path, type }) => [path, type]));
        const isFree = (path: string): boolean => {
          const parent = path.slice(0, Math.max(path.lastIndexOf('/'), 0));
          return parent === '' || ((kinds.get(parent) ?? 'directory') === 'directory' && isFree(parent));
        };
        const entries = drawn
          .filter(({ path }) => isFree(path))
          .sort((a, b) => (a.path < b.path ? -1 : 1))
          .map((e): Entry => ({ ...e, ...(e.type === 'symlink' && { linkPath: '../x' }) }));
        const { root } = await unpackLayer(dir, entries);
        for (const e of entries) {
          const stats = lstatSync(`${root}/${e.path}`);
          const kind = stats.isFile()
            ? 'file'
            : stats.isDirectory()
              ? 'directory'
              : stats.isSymbolicLink()
                ? 'symlink'
                : 'fifo';
          assert.deepEqual(
            { kind, mode: stats.mode & 0o7777, uid: stats.uid, gid: stats.gid, mtimeMs: stats.mtimeMs },
            {
              kind: e.type,
              mode: e.type === 'symlink' ? 0o777 : e.mode,
              uid: e.uid,
              gid: e.gid,
              mtimeMs: e.mtime! * 1000,
            },
          );
          if (e.type === 'file') assert.equal(readFileSync(`${root}/${e.path}`, 'utf8'), e.data);
        }
      },
    ),
    { numRuns: 60 },
  );
});
