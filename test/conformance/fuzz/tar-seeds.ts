import {
  type HeaderField,
  rawMember,
  sizeField,
  tarBlock,
  withChecksum,
  writeTar,
} from '@amphipod/images/testing';
import type { Random } from './random.ts';

// Archives for the tests that mutate them: every form of header, small.

const gnu: HeaderField = [257, 'ustar  \0'];
const octal = (value: number) => `${value.toString(8).padStart(11, '0')}\0`;
const end = Buffer.alloc(1024);
const named = (name: string, fields: HeaderField[], data = '') =>
  rawMember(tarBlock([[0, name], gnu, sizeField(data.length), ...fields]), data);

export const tarSeeds: readonly Buffer[] = [
  writeTar([
    { path: './', type: 'directory', mode: 0o711 },
    { path: 'd', type: 'directory', mode: 0o1777, uid: 3, mtime: 7.5 },
    {
      path: 'd/file',
      data: 'x'.repeat(700),
      mode: 0o4755,
      xattrs: { 'user.a': 'b', 'security.capability': 'c' },
    },
    { path: `${'long'.repeat(40)}/${'name'.repeat(40)}`, data: 'y', uid: 3_000_000, mtime: -5 },
    { path: 'link', type: 'symlink', linkPath: '../outside' },
    { path: 'link/x', data: 'through' },
    { path: 'hard', type: 'hardlink', linkPath: 'd/file' },
    { path: 'null', type: 'char', devMajor: 1, devMinor: 3 },
    { path: 'fifo', type: 'fifo' },
  ]),
  writeTar([
    { path: 'd/.wh.gone' },
    { path: 'd/.wh..wh..opq' },
    { path: 'd', data: 'now a file' },
    { path: '.wh.d' },
    { path: 'd', type: 'symlink', linkPath: '/d' },
    { path: 'e', type: 'hardlink', linkPath: '/d' },
  ]),
  writeTar([
    {
      path: 'GNUSparseFile.0/f',
      data: 'abcde',
      pax: { 'GNU.sparse.map': '10,3,20,2', 'GNU.sparse.size': '30' },
    },
    {
      path: 'f00',
      data: 'abc',
      pax: {
        'GNU.sparse.size': '100',
        'GNU.sparse.numblocks': '1',
        'GNU.sparse.offset': '50',
        'GNU.sparse.numbytes': '3',
      },
    },
    {
      path: 'f10',
      data: `${'2\n1000\n3\n2000\n2\n'.padEnd(512, '\0')}abcde`,
      pax: {
        'GNU.sparse.major': '1',
        'GNU.sparse.minor': '0',
        'GNU.sparse.name': 'real',
        'GNU.sparse.realsize': '2100',
      },
    },
  ]),
  Buffer.concat([
    named('sparse', [
      [156, 'S'],
      [386, octal(100) + octal(3) + octal(200) + octal(2)],
      [482, '\x01'],
      [483, octal(5000)],
      sizeField(8),
    ]),
    sparseExtension(),
    rawMember(Buffer.from('abcdefgh'.padEnd(512, '\0'))),
    named('././@LongLink', [[156, 'L']], `${'n'.repeat(130)}\0`),
    named('././@LongLink', [[156, 'K']], `${'t'.repeat(130)}\0`),
    named('cut', [
      [156, '2'],
      [157, 'cut'],
    ]),
    named('global', [[156, 'g']], '15 comment=abc\n9 uid=44\n'),
    named('numbers', [
      [108, '\x80\0\0\0\0\x2d\xc6\xc0'],
      [136, `${'\xff'.repeat(11)}\xfb`],
    ]),
    rawMember(tarBlock([[0, 'v7/']])),
    end,
  ]),
];

function sparseExtension(): Buffer {
  const block = Buffer.alloc(512);
  block.write(octal(400) + octal(3), 0, 'latin1');
  return block;
}

/** Fields of a header (offset, length), the ones of GNU's sparse map among them. */
const fields = [
  ...[
    [0, 100],
    [100, 8],
    [108, 8],
    [116, 8],
    [124, 12],
    [136, 12],
    [148, 8],
    [156, 1],
    [157, 100],
    [257, 8],
  ],
  ...[
    [329, 8],
    [337, 8],
    [345, 155],
    [386, 24],
    [410, 24],
    [482, 1],
    [483, 12],
    [504, 1],
  ],
] as const;
const texts = [
  ...[
    '',
    '/',
    '.',
    '..',
    './',
    '../x',
    '/../../etc',
    'd/../..',
    'a//b',
    '.wh.',
    '.wh..',
    '.wh...',
    '.wh..wh..opq',
    '.wh..wh.plnk/x',
  ],
  ...[
    'link/x',
    'link/../../x',
    'x'.repeat(100),
    '\xff\xfe',
    'a\0b',
    '\x80\0\0\0\0\0\0\0\0\0\0\x01',
    '\xff'.repeat(12),
  ],
  ...[
    '77777777777\0',
    '0000000\0',
    '-1',
    ' 12 ',
    '8',
    '1e9',
    '\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff',
    'ustar\x0000',
    'ustar  \0',
  ],
  ...[
    'GNU.sparse.map=',
    '9007199254740993',
    '99999999999999999999',
    '18 path=../../../x\n',
    '0',
    '1',
    '2',
    '5',
    'S',
    'x',
    'g',
    'L',
    'Z',
  ],
];

/** A changed copy: fields overwritten, bytes changed, blocks repeated, left out, moved or taken from another archive, the end cut off. */
export function mutateTar(archive: Buffer, random: Random): Buffer {
  let bytes: Buffer = Buffer.from(archive);
  for (let i = random.below(4); i >= 0; i--) bytes = mutateOnce(bytes, random);
  return bytes;
}

function mutateOnce(bytes: Buffer, random: Random): Buffer {
  const blocks = Math.floor(bytes.length / 512);
  const at = random.below(blocks + 1) * 512;
  const block = bytes.subarray(at, at + 512);
  switch (random.below(9)) {
    case 0:
      return bytes.subarray(0, random.below(bytes.length + 1));
    case 1:
      return Buffer.concat([bytes.subarray(0, at + 512), bytes.subarray(at)]);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 512)]);
    case 3: {
      const other = random.pick(tarSeeds);
      return Buffer.concat([bytes.subarray(0, at), other.subarray(random.below(other.length / 512) * 512)]);
    }
    case 4:
      for (let i = random.below(8); i >= 0 && block.length > 0; i--)
        block[random.below(block.length)] = random.below(256);
      break;
    default: {
      const [offset, length] = random.pick(fields);
      if (offset >= block.length) return bytes;
      block.write(
        random
          .pick(texts)
          .slice(0, length)
          .padEnd(length, random.pick(['\0', ' ', '7'])),
        offset,
        'latin1',
      );
    }
  }
  // Without it, little would get past the checksum.
  if (block.length === 512 && random.chance(0.9)) withChecksum(block);
  return bytes;
}
