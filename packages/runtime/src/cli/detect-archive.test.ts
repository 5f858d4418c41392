import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { writeTar } from '@amphipod/images/testing';
import { detectArchive } from './detect-archive.ts';

const directory = mkdtempSync(join(tmpdir(), 'amphipod-detect-'));
after(() => rmSync(directory, { recursive: true }));

function tar(...paths: string[]): string {
  const file = join(directory, 'image.tar');
  writeFileSync(file, writeTar(paths.map((path) => ({ path, data: 'x'.repeat(700) }))));
  return file;
}

test('archives by what is in them, wherever it stands', async () => {
  assert.equal(await detectArchive(tar('blobs/sha256/a', 'index.json', 'oci-layout')), 'oci-archive');
  assert.equal(await detectArchive(tar('./oci-layout')), 'oci-archive');
  assert.equal(await detectArchive(tar('a/layer.tar', 'manifest.json')), 'docker-archive');
  assert.equal(await detectArchive(tar('oci-layout', 'index.json', 'manifest.json')), 'docker-archive');
});

test('a directory with an oci-layout file', async () => {
  await assert.rejects(detectArchive(directory), /cannot read an image from ".*": it has no oci-layout file/);
  writeFileSync(join(directory, 'oci-layout'), '{}');
  assert.equal(await detectArchive(directory), 'oci');
});

test('what is no image is refused with the reason', async () => {
  await assert.rejects(
    detectArchive(tar('etc/passwd')),
    /holds no image: neither oci-layout nor manifest.json/,
  );
  await assert.rejects(
    detectArchive('/nonexistent.tar'),
    /cannot read an image from "\/nonexistent.tar": ENOENT/,
  );
  const other = join(directory, 'other');
  for (const bytes of [
    gzipSync(writeTar([{ path: 'oci-layout' }])),
    Buffer.alloc(0),
    Buffer.alloc(10_000, 'text '),
  ]) {
    writeFileSync(other, bytes);
    await assert.rejects(
      detectArchive(other),
      /is not a tar archive; a compressed one must be decompressed first/,
    );
  }
});
