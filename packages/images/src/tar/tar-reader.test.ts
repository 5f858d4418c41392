import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '@amphipod/linux';
import fc from 'fast-check';
import { ImageError } from '../errors.ts';
import { tarBlock as block, rawMember as member, sizeField as size } from '../tar-blocks.ts';
import { writeTar } from '../tar-writer.ts';
import type { TarEntry } from './tar-entry.ts';
import { TarReader } from './tar-reader.ts';

/** Entries and their contents, with the archive cut into pieces of `step` bytes. */
function read(archive: Buffer, step = archive.length || 1): { entry: TarEntry; data: Buffer }[] {
  const found: { entry: TarEntry; data: Buffer }[] = [];
  const reader = new TarReader({
    entry: (entry) => found.push({ entry, data: Buffer.alloc(Math.min(entry.size, 1 << 20)) }),
    data: (bytes, offset) => void bytes.copy(found.at(-1)!.data, offset),
    entryEnd: () => {},
  });
  for (let at = 0; at < archive.length; at += step) reader.write(archive.subarray(at, at + step));
  reader.end();
  return found;
}

const end = Buffer.alloc(1024);

test('ustar and PAX members come back as they were written, however the archive is cut', () => {
  const archive = writeTar([
    { path: 'dir', type: 'directory', mode: 0o1777, uid: 3, gid: 4, mtime: 7 },
    { path: 'dir/file', data: 'x'.repeat(1500), mode: 0o4755, mtime: 1.5 },
    { path: `${'ä'.repeat(150)}/f`, data: '1', uid: 3_000_000, mtime: -5, xattrs: { 'user.a': 'b=c\n' } },
    { path: 'link', type: 'symlink', linkPath: `/${'l'.repeat(200)}` },
    { path: 'dev', type: 'block', devMajor: 8, devMinor: 1 },
    { path: 'empty' },
  ]);
  const whole = read(archive);
  assert.deepEqual(
    whole.map(({ entry }) => [entry.type, entry.mode, entry.uid, entry.mtimeNs, entry.size]),
    [
      ['directory', 0o1777, 3, 7_000_000_000n, 0],
      ['file', 0o4755, 0, 1_500_000_000n, 1500],
      ['file', 0o644, 3_000_000, -5_000_000_000n, 1],
      ['symlink', 0o644, 0, 0n, 0],
      ['block', 0o644, 0, 0n, 0],
      ['file', 0o644, 0, 0n, 0],
    ],
  );
  assert.equal(Buffer.from(whole[2]!.entry.path, 'latin1').toString(), `${'ä'.repeat(150)}/f`);
  assert.deepEqual(whole[2]!.entry.xattrs, [{ name: 'user.a', value: Buffer.from('b=c\n') }]);
  assert.equal(whole[3]!.entry.linkPath, `/${'l'.repeat(200)}`);
  for (const step of [1, 7, 511, 512, 513, 4096])
    assert.deepEqual(read(archive, step), whole, `step ${step}`);
});

test('GNU long names, base-256 numbers, global headers, version 7 directories, star prefixes', () => {
  const long = `${'n'.repeat(300)}`;
  const archive = Buffer.concat([
    member(block([[0, 'pax_global_header'], [156, 'g'], size(15)]), '15 comment=abc\n'),
    member(block([[0, '././@LongLink'], [156, 'L'], size(301), [257, 'ustar  \0']]), `${long}\0`),
    member(
      block([
        [0, 'short'],
        [124, '\x80\0\0\0\0\0\0\0\0\0\0\x03'],
        [108, '\x80\0\0\0\0\x2d\xc6\xc0'],
        [136, `${'\xff'.repeat(11)}\xfb`],
      ]),
      'abc',
    ),
    member(
      block([
        [0, 'v7dir/'],
        [156, '\0'],
      ]),
    ),
    member(
      block([
        [0, 'name'],
        [257, 'ustar\x0000'],
        [345, 'pre/fix'],
      ]),
    ),
    end,
    Buffer.from('anything may follow the end'),
  ]);
  const [first, second, third, ...none] = read(archive);
  assert.equal(first!.entry.path, long);
  assert.deepEqual(
    [first!.entry.size, first!.entry.uid, first!.entry.mtimeNs],
    [3, 3_000_000, -5_000_000_000n],
  );
  assert.equal(first!.data.toString(), 'abc');
  assert.equal(second!.entry.type, 'directory');
  assert.equal(third!.entry.path, 'pre/fix/name');
  assert.deepEqual(none, []);
});

test('sparse files of all four forms have their holes', () => {
  const octal = (value: number) => `${value.toString(8).padStart(11, '0')}\0`;
  const expected = Buffer.concat([
    Buffer.alloc(1000),
    Buffer.from('abc'),
    Buffer.alloc(997),
    Buffer.from('de'),
    Buffer.alloc(98),
  ]);
  const gnu = member(
    block([
      [0, 'f'],
      [156, 'S'],
      size(5),
      [257, 'ustar  \0'],
      [386, octal(1000) + octal(3) + octal(2000) + octal(2)],
      [483, octal(2100)],
    ]),
    'abcde',
  );
  const pax = (records: Record<string, string>, data: string) =>
    writeTar([{ path: 'GNUSparseFile.0/f', data, pax: records }]);
  const map10 = '2\n1000\n3\n2000\n2\n'.padEnd(512, '\0');
  const forms = {
    gnu: Buffer.concat([gnu, end]),
    '0.1': pax(
      { 'GNU.sparse.map': '1000,3,2000,2', 'GNU.sparse.size': '2100', 'GNU.sparse.name': 'f' },
      'abcde',
    ),
    '1.0': pax(
      {
        'GNU.sparse.major': '1',
        'GNU.sparse.minor': '0',
        'GNU.sparse.name': 'f',
        'GNU.sparse.realsize': '2100',
      },
      `${map10}abcde`,
    ),
  };
  for (const [form, archive] of Object.entries(forms)) {
    for (const step of [1, 100, 512, archive.length]) {
      const [found] = read(archive, step);
      assert.equal(found!.entry.path, 'f', form);
      assert.deepEqual(found!.data, expected, `${form} in steps of ${step}`);
    }
  }
});

test('bad sparse maps are refused', () => {
  const bad = ['1000,3,2000,3', '2000,2,1000,3', '1000,4,1001,1', '0,5,9000,0', '1000,3,2000', 'x,3,2000,2'];
  for (const map of bad) {
    const archive = writeTar([
      { path: 'f', data: 'abcde', pax: { 'GNU.sparse.map': map, 'GNU.sparse.size': '2100' } },
    ]);
    assert.throws(
      () => read(archive),
      (error) => isCode(error, 'invalid-archive'),
      map,
    );
  }
});

test('an unknown type is refused by name', () => {
  const archive = Buffer.concat([
    member(
      block([
        [0, 'some/thing'],
        [156, 'Z'],
      ]),
    ),
    end,
  ]);
  assert.throws(() => read(archive), { code: 'invalid-archive', message: /"some\/thing".*"Z"/ });
});

test('an archive that ends within a member is truncated; one that ends between members is not', () => {
  const archive = writeTar([{ path: 'a', data: 'x'.repeat(600) }, { path: 'b' }]);
  for (const length of [1, 511, 512, 1000, 1111, 1535, 1537]) {
    assert.throws(
      () => read(archive.subarray(0, length)),
      (error) => isCode(error, 'truncated-archive'),
      String(length),
    );
  }
  assert.equal(read(archive.subarray(0, 1536)).length, 1);
  assert.equal(read(Buffer.alloc(0)).length, 0);
});

test('a PAX header for nobody, a damaged checksum and NUL in a name are refused', () => {
  const archive = writeTar([{ path: 'ok', pax: { comment: 'x' } }]);
  assert.throws(
    () => read(archive.subarray(0, 1024)),
    (error) => isCode(error, 'truncated-archive'),
  );
  const damaged = Buffer.from(archive);
  damaged[0]! ^= 1;
  assert.throws(() => read(damaged), { code: 'invalid-archive', message: /checksum/ });
  assert.throws(
    () => read(writeTar([{ path: 'a', pax: { path: 'a\0b' } }])),
    (error) => isCode(error, 'invalid-archive'),
  );
});

test('random and mutated bytes give entries or an error of ours, never a crash or a hang', () => {
  const base = writeTar([
    { path: 'a'.repeat(120), data: 'x'.repeat(700), xattrs: { 'user.x': 'y' } },
    { path: 'f', data: 'abcde', pax: { 'GNU.sparse.map': '10,3,20,2', 'GNU.sparse.size': '30' } },
    { path: 'd', type: 'directory' },
  ]);
  const mutations = fc.array(fc.tuple(fc.nat(base.length - 1), fc.nat(255)), { maxLength: 12 });
  fc.assert(
    fc.property(
      fc.oneof(fc.uint8Array({ maxLength: 3000 }), mutations),
      fc.integer({ min: 1, max: 2000 }),
      (input, step) => {
        let archive = Buffer.from(base);
        if (input instanceof Uint8Array) archive = Buffer.from(input);
        else for (const [at, byte] of input) archive[at] = byte;
        fixChecksums(archive);
        try {
          read(archive, step);
        } catch (error) {
          assert.ok(error instanceof ImageError, String(error));
        }
      },
    ),
    { numRuns: 2000 },
  );
});

/** Right checksums everywhere, so that a mutation gets past the first check. */
function fixChecksums(archive: Buffer): void {
  for (let at = 0; at + 512 <= archive.length; at += 512) {
    const header = archive.subarray(at, at + 512);
    if (header.every((byte) => byte === 0)) continue;
    header.fill(' ', 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  }
}
