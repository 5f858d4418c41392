import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import {
  type Entry,
  type HeaderField,
  rawMember,
  sizeField,
  tarBlock,
  writeTar,
} from '@amphipod/images/testing';
import { dir, file, hardlink, symlink } from './entries.ts';
import { deletions, layerOrders } from './layered-images.ts';

/** An image to unpack, bottom layer first. */
export type TestLayers = (Entry[] | Buffer)[];

const end = Buffer.alloc(1024);
const gnuMagic: HeaderField = [257, 'ustar  \0'];
const octal = (value: number) => `${value.toString(8).padStart(11, '0')}\0`;
/** Images with every kind and order of entries, by name. `scratch` is for what tar(1) makes archives of. */
export function testImages(scratch: string): Record<string, TestLayers> {
  const images = {
    ...entryKinds(),
    ...headerForms(),
    ...tarFormats(scratch),
    ...layerOrders(),
    ...deletions(),
  };
  for (const [bottom] of Object.values(images)) {
    // A layer without an entry for its root leaves owner, mode and time of the root to the program.
    if (Array.isArray(bottom) && !bottom.some(({ path }) => /^\.?\/$/.test(path))) bottom.unshift(dir('/'));
  }
  return images;
}

function entryKinds(): Record<string, TestLayers> {
  const modes = [0, 0o111, 0o400, 0o644, 0o755, 0o777, 0o1777, 0o2755, 0o4755, 0o6711, 0o7777];
  return {
    modes: [
      modes.flatMap((mode) => [
        file(`f${mode.toString(8)}`, 'x', { mode, uid: 3, gid: 4 }),
        dir(`d${mode.toString(8)}`, { mode, uid: 3, gid: 4 }),
        { path: `p${mode.toString(8)}`, type: 'fifo', mode, uid: 3, gid: 4 },
      ]),
    ],
    owners: [
      [0, 1, 65_534, 2_097_151, 2_097_152, 4_000_000_000].flatMap((uid) => [
        file(`f${uid}`, 'x', { uid, gid: uid }),
        dir(`d${uid}`, { uid, gid: uid }),
        symlink(`l${uid}`, 'x', { uid, gid: uid }),
      ]),
    ],
    times: [
      [0, 1, 1.5, 1_700_000_000.123_456_7, 2 ** 31, 2 ** 33, -1, -5.25].flatMap((mtime, i) => [
        file(`f${i}`, 'x', { mtime }),
        symlink(`l${i}`, 'x', { mtime }),
        dir(`d${i}`, { mtime }),
        file(`d${i}/child`, 'x', { pax: { mtime: `${1_600_000_000 + i}.000000001` } }),
      ]),
    ],
    devices: [
      [
        { path: 'null', type: 'char', mode: 0o666, devMajor: 1, devMinor: 3 },
        { path: 'big', type: 'block', mode: 0o660, gid: 6, devMajor: 259, devMinor: 70_000, mtime: 9 },
        { path: 'fifo', type: 'fifo', mode: 0o4710, uid: 7, mtime: 8 },
        dir('dev'),
        { path: 'dev/zero', type: 'char', mode: 0o600, devMajor: 1, devMinor: 5 },
      ],
    ],
    symlinks: [
      [
        symlink('absolute', '/etc/x'),
        symlink('up', '../../../../x'),
        symlink('self', 'self'),
        symlink('dangling', 'nothing/at/all', { uid: 8, gid: 9, mtime: 7 }),
        symlink('long', `/${'l'.repeat(250)}/${'m'.repeat(250)}`),
        symlink('longest', 'x'.repeat(4000)),
        symlink('bytes', 'ä\n "\\'),
        dir('real'),
        symlink('way', 'real'),
        file('way/through', 'through a link'),
        symlink('early', 'later'),
        dir('later'),
        file('early/x', 'by way of a link that was there before its directory'),
      ],
    ],
    'hard links': [
      [
        dir('d'),
        file('d/file', 'x', { mode: 0o4711, uid: 3, mtime: 5 }),
        symlink('d/link', '/nowhere', { uid: 4, mtime: 6 }),
        { path: 'd/fifo', type: 'fifo', mtime: 7 },
        { path: 'd/dev', type: 'char', devMajor: 1, devMinor: 3, mtime: 8 },
        ...['file', 'link', 'fifo', 'dev'].flatMap((name, i) => {
          const attributes = { mode: i === 0 ? 0o4711 : 0o644, uid: [3, 4][i] ?? 0, mtime: 5 + i };
          return [
            hardlink(`to-${name}`, `d/${name}`, attributes),
            hardlink(`new/dir/to-${name}`, `/d/${name}`, attributes),
          ];
        }),
        hardlink('chain', 'to-file', { mode: 0o4711, uid: 3, mtime: 5 }),
        hardlink('d/dots', 'd/../d/./file', { mode: 0o4711, uid: 3, mtime: 5 }),
        file(`${'n'.repeat(200)}/${'m'.repeat(200)}`, 'long'),
        hardlink('long', `${'n'.repeat(200)}/${'m'.repeat(200)}`),
      ],
    ],
    'a hard link to itself': [[file('a', 'x'), hardlink('a', 'a')]],
    'hard links with attributes of their own': [
      [
        file('a', 'x', { mode: 0o644, uid: 1, mtime: 5 }),
        hardlink('b', 'a', { mode: 0o755, uid: 2, mtime: 6 }),
      ],
    ],
    'extended attributes': [
      [
        file('f', 'x', { xattrs: { 'user.text': 'v', 'user.bytes': Buffer.from([0, 255, 10, 61]) }, uid: 5 }),
        file('cap', 'x', { xattrs: { 'security.capability': capability }, uid: 5, mode: 0o755 }),
        file('trusted', 'x', { xattrs: { 'trusted.mine': 't' } }),
        dir('d', { xattrs: { 'user.dir': 'd' }, mtime: 9 }),
        file('d/long', 'x', { xattrs: { 'user.long': 'y'.repeat(2000) } }),
        hardlink('same', 'cap', { uid: 5, mode: 0o755, xattrs: { 'security.capability': capability } }),
        symlink('l', 'f', { xattrs: { 'trusted.link': 'l' } }),
      ],
    ],
    names: [
      [
        'blank name',
        'new\nline',
        'quote"\'\\',
        '-dash',
        'ü€😀',
        '.hidden',
        '.wh',
        '.whatever',
        '...',
        'a.wh.b',
        'n'.repeat(255),
        `${'deep/'.repeat(60)}end`,
        `${'ä'.repeat(127)}/${'b'.repeat(200)}`,
        './dot',
        '/absolute',
        'double//slash',
        'x/../y',
      ].map((path) => file(path)),
    ],
    'empty and large files': [
      [
        file('empty', ''),
        ...[511, 512, 513, 1024, 65_536, 1_000_003].map((size) =>
          file(`f${size}`, 'abcdefg'.repeat(size / 7 + 1).slice(0, size)),
        ),
      ],
    ],
  };
}

// VFS_CAP_REVISION_2 with cap_net_raw=ep.
const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');

function headerForms(): Record<string, TestLayers> {
  const named = (name: string, fields: HeaderField[], data = '') =>
    rawMember(tarBlock([[0, name], gnuMagic, sizeField(data.length), ...fields]), data);
  const longName = (flag: 'L' | 'K', text: string) =>
    named('././@LongLink', [[156, flag], sizeField(text.length + 1)], `${text}\0`);
  const records = (flag: 'x' | 'g', text: string) =>
    named('pax', [[156, flag], sizeField(text.length)], text);
  const root = named('./', [
    [156, '5'],
    [100, '0000755\0'],
  ]);
  return {
    'base-256 numbers': [
      Buffer.concat([
        root,
        named('owner', [
          [108, '\x80\0\0\0\0\x2d\xc6\xc0'],
          [116, '\x80\0\0\0\xee\x6b\x28\0'],
        ]),
        named('size', [[124, '\x80\0\0\0\0\0\0\0\0\0\0\x03']], 'abc'),
        named('before 1970', [[136, `${'\xff'.repeat(11)}\xfb`]]),
        named('after 2242', [[136, `\x80${'\0'.repeat(6)}\x02\0\0\0\x07`]]),
        end,
      ]),
    ],
    'GNU long names': [
      Buffer.concat([
        root,
        longName('L', `long/${'n'.repeat(120)}`),
        named('long/cut', [], 'x'),
        longName('K', `long/${'n'.repeat(120)}`),
        longName('L', `link-${'m'.repeat(120)}`),
        named('link', [
          [156, '1'],
          [157, 'long/cut'],
        ]),
        longName('K', `/${'t'.repeat(300)}`),
        named('symlink', [
          [156, '2'],
          [157, 'cut'],
        ]),
        end,
      ]),
    ],
    'PAX records': [
      writeTar([
        file('named otherwise', '1', { pax: { path: 'path/of/record' } }),
        file('uid', '1', { pax: { uid: '77', gid: '78', mtime: '12.345678901', uname: 'x', comment: 'c' } }),
        symlink('to', 'not here', { pax: { linkpath: 'from/record' } }),
        file('unknown', '1', { pax: { 'VENDOR.key': 'value', atime: '5', ctime: '6' } }),
        dir('dir', { pax: { mtime: '99.999999999' } }),
      ]),
    ],
    'global header with a comment': [
      Buffer.concat([records('g', '15 comment=abc\n'), root, writeTar([file('f'), dir('d')])]),
    ],
    'global header with attributes': [
      Buffer.concat([records('g', '9 uid=44\n'), root, writeTar([file('f')])]),
    ],
    'version 7': [
      Buffer.concat([
        root,
        rawMember(tarBlock([[0, 'dir/']])),
        rawMember(tarBlock([[0, 'dir/f'], sizeField(3), [156, '\0']]), 'abc'),
        rawMember(
          tarBlock([
            [0, 'l'],
            [156, '2'],
            [157, 'dir'],
          ]),
        ),
        end,
        Buffer.from('what follows the end is nobody’s'),
      ]),
    ],
    'old GNU sparse, five extents and more': [Buffer.concat([root, manyExtents(), end])],
  };
}

/** A sparse file whose map needs two extension blocks: 40 extents of 3 bytes, 5000 bytes apart. */
function manyExtents(): Buffer {
  const count = 40;
  const pair = (i: number) => octal(i * 5000) + octal(3);
  const range = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => pair(from + i)).join('');
  const header = tarBlock([
    ...([[0, 'sparse'], [156, 'S'], gnuMagic] as HeaderField[]),
    sizeField(count * 3),
    ...([
      [386, range(0, 4)],
      [482, '\x01'],
      [483, octal(count * 5000)],
    ] as HeaderField[]),
  ]);
  const extension = (from: number, to: number, more: boolean) => {
    const block = Buffer.alloc(512);
    block.write(range(from, to), 0, 'latin1');
    block[504] = more ? 1 : 0;
    return block;
  };
  const data = Buffer.alloc(Math.ceil((count * 3) / 512) * 512);
  data.write('abc'.repeat(count));
  return Buffer.concat([header, extension(4, 25, true), extension(25, count, false), data]);
}

/** Archives that tar(1) makes of one tree, in each of its formats. */
function tarFormats(scratch: string): Record<string, TestLayers> {
  const tree = `${scratch}/tree`;
  mkdirSync(`${tree}/sub/${'d'.repeat(90)}/${'e'.repeat(90)}`, { recursive: true });
  writeFileSync(`${tree}/sub/file`, 'content\n', { mode: 0o640 });
  execFileSync(
    'sh',
    [
      '-ec',
      `ln -s file sub/link; ln sub/file sub/hard; mkfifo -m 620 sub/fifo; mknod sub/dev c 1 7
       chown -h 12:34 sub/link; chown 5:6 sub/file; chmod 6755 sub/file; touch -d @12345.6789 sub/file sub
       truncate -s 8M sparse; printf end >>sparse; printf mid | dd of=sparse bs=1 seek=3000000 conv=notrunc status=none`,
    ],
    { cwd: tree },
  );
  const tar = (...options: string[]): TestLayers => [
    execFileSync('tar', [...options, '--sort=name', '-cf', '-', '.'], { cwd: tree, maxBuffer: 64 << 20 }),
  ];
  const images: Record<string, TestLayers> = {
    'tar --format=gnu -S': tar('--format=gnu', '-S'),
    'tar --format=oldgnu': tar('--format=oldgnu', '--exclude=sparse'),
    'tar --format=posix -S 0.0': tar('--format=posix', '-S', '--sparse-version=0.0'),
    'tar --format=posix -S 0.1': tar('--format=posix', '-S', '--sparse-version=0.1'),
    'tar --format=posix -S 1.0': tar('--format=posix', '-S', '--sparse-version=1.0'),
    'tar --format=ustar': tar('--format=ustar', '--exclude=sparse'),
  };
  rmSync(tree, { recursive: true });
  return images;
}
