import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lstatSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { writeTar } from '@amphipod/images/testing';
import { isCode } from '@amphipod/linux';
import { scratch, unpackLayer } from './images-support.ts';

test("IMG-12: GNU tar's sparse files and concatenated gzip members", async (t) => {
  const dir = scratch(t);
  execFileSync(
    'sh',
    [
      '-c',
      'truncate -s 64M f && printf x >>f && printf abc | dd of=f bs=1 seek=12345678 conv=notrunc status=none',
    ],
    { cwd: dir },
  );
  const content = readFileSync(`${dir}/f`);
  for (const options of [
    ['--format=gnu', '-S'],
    ['--format=posix', '-S', '--sparse-version=0.0'],
    ['--format=posix', '-S', '--sparse-version=0.1'],
    ['--format=posix', '-S', '--sparse-version=1.0'],
  ]) {
    const tar = execFileSync('tar', [...options, '-cf', '-', 'f'], { cwd: dir });
    const halves = [tar.subarray(0, 1000), tar.subarray(1000)];
    const { root } = await unpackLayer(dir, Buffer.concat(halves.map((half) => gzipSync(half))));
    assert.ok(readFileSync(`${root}/f`).equals(content), options.join(' '));
    assert.ok(lstatSync(`${root}/f`).blocks < 1000, 'the holes are holes');
  }
});

test('IMG-15: the compression is decided by content; broken streams are named', async (t) => {
  const dir = scratch(t);
  const tar = writeTar([{ path: 'f', data: 'x'.repeat(100_000) }]);
  const zstd = zstdCompressSync(tar);
  // A skippable frame (RFC 8878, 3.1.2) and a second frame, as zstd:chunked has them.
  const chunked = Buffer.concat([Buffer.from('502a4d1804000000abcd0000', 'hex'), zstd]);
  for (const bytes of [
    tar,
    gzipSync(tar),
    zstd,
    chunked,
    Buffer.concat([zstd, zstdCompressSync(Buffer.alloc(1024))]),
  ]) {
    const { root } = await unpackLayer(dir, bytes);
    assert.equal(lstatSync(`${root}/f`).size, 100_000);
  }
  const gzip = gzipSync(tar);
  for (const bytes of [
    gzip.subarray(0, gzip.length / 2),
    zstd.subarray(0, zstd.length / 2),
    tar.subarray(0, 50_000),
  ]) {
    await assert.rejects(unpackLayer(dir, bytes), (error) => isCode(error, 'truncated-archive'));
  }
  const damaged = Buffer.from(gzip);
  damaged.fill(0xff, 20, 40);
  await assert.rejects(unpackLayer(dir, damaged), (error) => isCode(error, 'invalid-archive'));
  await assert.rejects(unpackLayer(dir, Buffer.from('\xfd7zXZ\0\0\0', 'latin1')), (error) =>
    isCode(error, 'unsupported-media-type'),
  );
});
