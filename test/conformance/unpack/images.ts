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

/** An image to unpack, bottom layer first. */
export type TestLayers = (Entry[] | Buffer)[];

const end = Buffer.alloc(1024);
const gnuMagic: HeaderField = [257, 'ustar  \0'];
const octal = (value: number) => `${value.toString(8).padStart(11, '0')}\0`;
const dir = (path: string, more: Partial<Entry> = {}): Entry => ({ path, type: 'directory', ...more });
const file = (path: string, data = path, more: Partial<Entry> = {}): Entry => ({ path, data, ...more });
const symlink = (path: string, linkPath: string, more: Partial<Entry> = {}): Entry => ({
  path,
  type: 'symlink',
  linkPath,
  ...more,
});
const hardlink = (path: string, linkPath: string, more: Partial<Entry> = {}): Entry => ({
  path,
  type: 'hardlink',
  linkPath,
  ...more,
});

/** A tree that every test of directories and deletions begins with. */
const base: Entry[] = [
  dir('/', { mode: 0o755, mtime: 100 }),
  dir('dir', { mode: 0o750, uid: 5, mtime: 101 }),
  file('dir/a', 'a', { mtime: 102 }),
  file('dir/b', 'b', { mtime: 103 }),
  dir('dir/sub', { mode: 0o1777, gid: 6, mtime: 104 }),
  file('dir/sub/c', 'c', { mtime: 105 }),
  file('file', 'file', { mtime: 106 }),
  symlink('link', 'dir', { mtime: 107 }),
];

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

function layerOrders(): Record<string, TestLayers> {
  return {
    'the last entry of a name wins': [
      [
        file('f', 'first', { mode: 0o600, uid: 1 }),
        hardlink('kept', 'f', { mode: 0o600, uid: 1 }),
        file('f', 'second', { mode: 0o640 }),
        dir('d', { mode: 0o700, uid: 1, mtime: 1 }),
        file('d/x'),
        dir('d', { mode: 0o711, uid: 2, mtime: 2 }),
        symlink('l', 'one'),
        symlink('l', 'two', { uid: 3 }),
        file('h', 'gone'),
        hardlink('h', 'f', { mode: 0o640 }),
      ],
    ],
    'another kind in the same layer': [
      [
        dir('dir to file'),
        ...Array.from({ length: 200 }, (_, i) => file(`dir to file/${i % 7}/${i}`)),
        file('dir to file', 'file'),
        dir('dir to link'),
        file('dir to link/x'),
        symlink('dir to link', 'elsewhere'),
        file('file to dir'),
        dir('file to dir'),
        file('file to dir/x'),
        symlink('link to file', 'dir to file'),
        file('link to file', 'not through the link'),
        { path: 'fifo to file', type: 'fifo' },
        file('fifo to file'),
      ],
    ],
    'another kind in a later layer': [
      [...base, symlink('to-file', 'x'), { path: 'pipe', type: 'fifo' }],
      [
        dir('file', { mode: 0o711, mtime: 200 }),
        file('file/in', 'now a directory'),
        file('dir', 'now a file'),
        dir('link', { mode: 0o700 }),
        file('link/in', 'now a directory'),
        file('to-file', 'now a file'),
        symlink('pipe', 'file'),
      ],
    ],
    'directories after what is in them': [
      [
        file('d/e/f', 'x', { mtime: 5 }),
        dir('d/e', { mode: 0o700, uid: 4, mtime: 6 }),
        dir('d', { mode: 0o711, uid: 5, mtime: 7 }),
        hardlink('p/q', 'd/e/f', { mtime: 5 }),
        dir('p', { mode: 0o2755, mtime: 8 }),
        dir('./', { mode: 0o711, mtime: 9 }),
      ],
    ],
    'changes of contents and of attributes alone': [
      base,
      [
        dir('dir', { mode: 0o555, uid: 9, mtime: 300 }),
        file('dir/a', 'changed', { mode: 0o600, mtime: 301 }),
        file('dir/b', 'b', { mode: 0o4755, uid: 3, mtime: 302 }),
        dir('/', { mode: 0o711, mtime: 303 }),
      ],
      [dir('dir/sub', { mode: 0o700, mtime: 304, xattrs: { 'user.a': 'b' } }), file('dir/sub/d', 'd')],
    ],
    'an implied directory in the place of a link': [
      [dir('d', { mtime: 5 }), file('d/x'), symlink('l', 'd')],
      [file('l/new')],
    ],
    'directories that a layer only implies': [
      [dir('/'), dir('tmp', { mode: 0o1777, mtime: 5 }), dir('home/app', { mode: 0o700, uid: 10, mtime: 6 })],
      [file('tmp/x'), file('home/app/y', 'y', { uid: 10 }), file('new/dir/z')],
    ],
  };
}

function deletions(): Record<string, TestLayers> {
  return {
    'deletions of every kind': [
      [...base, { path: 'p', type: 'fifo' }, file('.dot', 'x'), file('dir/keep', 'x')],
      [
        dir('/', { mtime: 400 }),
        { path: '.wh.file' },
        { path: '.wh.link' },
        { path: '.wh.p' },
        { path: '.wh..dot' },
        { path: '.wh.never was' },
        dir('dir', { mode: 0o750, uid: 5, mtime: 401 }),
        { path: 'dir/.wh.a' },
        { path: 'dir/.wh.sub' },
      ],
    ],
    'deletions and new files of the same name': [
      base,
      [
        dir('/', { mtime: 400 }),
        { path: '.wh.dir' },
        dir('dir', { mode: 0o700, mtime: 401 }),
        file('dir/new', 'n', { mtime: 402 }),
        { path: '.wh.file' },
        file('file', 'again', { mtime: 403 }),
        { path: '.wh.link' },
        dir('link', { mtime: 404 }),
        file('link/x', 'x'),
      ],
    ],
    'a deletion after a new file of the same name': [
      base,
      [
        dir('/', { mtime: 400 }),
        dir('dir', { mode: 0o700, mtime: 401 }),
        file('dir/new', 'n', { mtime: 402 }),
        { path: '.wh.dir' },
        file('file', 'again', { mtime: 403 }),
        { path: '.wh.file' },
      ],
    ],
    'opaque directories': [
      [...base, dir('late', { mtime: 5 }), file('late/old'), dir('late/sub'), file('late/sub/old')],
      [
        dir('/', { mtime: 500 }),
        dir('dir', { mode: 0o711, mtime: 501 }),
        { path: 'dir/.wh..wh..opq' },
        file('dir/new', 'n', { mtime: 502 }),
        dir('dir/sub', { mode: 0o700, mtime: 503 }),
        dir('late', { mtime: 504 }),
        file('late/new', 'n', { mtime: 505 }),
        dir('late/sub', { mtime: 506 }),
        file('late/sub/new', 'n', { mtime: 507 }),
        { path: 'late/.wh..wh..opq' },
      ],
      [dir('dir/sub', { mode: 0o700, mtime: 600 }), file('dir/sub/top', 't', { mtime: 601 })],
    ],
    'a root that hides everything below': [
      base,
      [dir('/', { mtime: 500 }), { path: '.wh..wh..opq' }, file('only', 'this', { mtime: 501 })],
    ],
    'deletion in a directory that becomes a link (IMG-09)': [
      [dir('/'), dir('a'), file('a/a'), symlink('lnk', 'one')],
      [
        { path: 'a/.wh.a' },
        dir('/', { mtime: 5 }),
        symlink('a', 'b'),
        dir('b', { mtime: 6 }),
        symlink('lnk', 'two'),
      ],
      [dir('/', { mtime: 7 }), { path: 'gone/.wh.x' }],
    ],
  };
}
