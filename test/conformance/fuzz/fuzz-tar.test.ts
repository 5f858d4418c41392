/**
 * Mutated archives of layers: entries or an error that says what is wrong, never a crash, a hang or a megabyte that was not in the
 * archive. AMPHIPOD_FUZZ_RUNS=1000000 for 200,000 archives.
 */
import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { ImageError, type TarEntry, TarReader } from '@amphipod/images';
import { unpackInto } from '../../kernel/images-support.ts';
import { fuzz } from './harness.ts';
import { mutateTar, tarSeeds } from './tar-seeds.ts';

const dir = mkdtempSync(`${tmpdir()}/fuzz-tar-`);
after(() => rmSync(dir, { recursive: true, force: true }));

fuzz('headers of archives', 0.2, (random, note) => {
  const archive = mutateTar(random.pick(tarSeeds), random);
  note(archive.toString('base64'));
  let entry: TarEntry | undefined;
  let [end, total] = [0, 0];
  const reader = new TarReader({
    entry: (next) => {
      entry = next;
      end = 0;
      assertEntry(next);
    },
    data: (bytes, offset) => {
      assert.ok(offset >= end && offset + bytes.length <= entry!.size, `${bytes.length} bytes at ${offset}`);
      end = offset + bytes.length;
      total += bytes.length;
    },
    entryEnd: () => assert.ok(entry !== undefined),
  });
  const step = random.pick([1, 100, 512, 513, 4096, 1 << 20]);
  imageErrorOnly(() => {
    for (let at = 0; at < archive.length; at += step) reader.write(archive.subarray(at, at + step));
    reader.end();
  });
  assert.ok(total <= archive.length);
});

fuzz('archives into a directory', 0.005, async (random, note) => {
  const archive = mutateTar(random.pick(tarSeeds), random);
  note(archive.toString('base64'));
  await unpack(archive);
});

fuzz('compressed archives', 0.01, async (random, note) => {
  const tar = random.pick(tarSeeds);
  const whole = random.chance(0.5) ? gzipSync(tar) : zstdCompressSync(tar);
  const bytes = Buffer.concat(random.chance(0.3) ? [whole, whole] : [whole]);
  for (let i = random.below(5); i >= 0; i--) bytes[random.below(bytes.length)] = random.below(256);
  const cut = bytes.subarray(0, random.chance(0.3) ? random.below(bytes.length) : bytes.length);
  note(cut.toString('base64'));
  await unpack(cut);
});

test('all of that in bounded memory', () => {
  const mib = Math.round(process.resourceUsage().maxRSS / 1024);
  assert.ok(mib < 400, `${mib} MiB`);
});

/** Unpacks beside a directory that must not change. */
async function unpack(archive: Buffer): Promise<void> {
  const [own, outside] = [`${dir}/case`, `${dir}/case/outside`];
  mkdirSync(`${own}/root`, { recursive: true });
  mkdirSync(outside, { recursive: true });
  const before = describe(outside);
  try {
    await unpackInto(`${own}/root`, own, archive).catch((error: Error) => {
      assert.ok(error instanceof ImageError, `${error.stack}`);
    });
    assert.equal(describe(outside), before);
  } finally {
    rmSync(own, { recursive: true });
  }
}

function describe(path: string): string {
  const { mode, uid, gid, mtimeMs, nlink } = lstatSync(path);
  return JSON.stringify([mode, uid, gid, mtimeMs, nlink]);
}

function imageErrorOnly(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    assert.ok(error instanceof ImageError, `${(error as Error).stack}`);
  }
}

function assertEntry({ path, linkPath, size, uid, gid, mode, mtimeNs, xattrs }: TarEntry): void {
  assert.ok(Number.isSafeInteger(size) && size >= 0, `size ${size}`);
  for (const id of [uid, gid])
    assert.ok(Number.isSafeInteger(id) && id >= 0 && id < 2 ** 32 - 1, `owner ${id}`);
  assert.ok(mode >= 0 && mode <= 0o7777, `mode ${mode}`);
  assert.equal(typeof mtimeNs, 'bigint');
  for (const name of [path, linkPath, ...xattrs.map((xattr) => xattr.name)]) assert.ok(!name.includes('\0'));
}
