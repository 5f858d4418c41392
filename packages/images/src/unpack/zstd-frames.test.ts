import assert from 'node:assert/strict';
import { test } from 'node:test';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { ZstdFrameSplitter } from './zstd-frames.ts';

const skippable = Buffer.from('512a4d1805000000aaaaaaaaaa', 'hex');
const compress = (text: string, checksum: boolean) =>
  zstdCompressSync(text, { params: { [constants.ZSTD_c_checksumFlag]: checksum ? 1 : 0 } });

test('frames come out whole and alone, skippable ones not at all, however the stream is cut', () => {
  const content = fc.oneof(
    fc.string({ maxLength: 300 }),
    fc.nat(300_000).map((length) => 'r'.repeat(length)),
    fc.array(fc.nat(), { maxLength: 30_000 }).map((numbers) => numbers.join()),
  );
  fc.assert(
    fc.property(
      fc.array(fc.record({ content, checksum: fc.boolean(), skip: fc.boolean() }), { maxLength: 5 }),
      fc.integer({ min: 1, max: 70_000 }),
      (frames, step) => {
        const stream = Buffer.concat(
          frames.flatMap(({ content, checksum, skip }) => [
            skip ? skippable : Buffer.alloc(0),
            compress(content, checksum),
          ]),
        );
        const splitter = new ZstdFrameSplitter();
        const pieces: Buffer[] = [];
        for (let at = 0; at < stream.length; at += step)
          pieces.push(...splitter.split(stream.subarray(at, at + step)));
        assert.equal(splitter.rest().length, 0);
        // Put together again by their magic numbers, the pieces are the frames.
        let at = 0;
        for (const { content, checksum } of frames) {
          const frame = compress(content, checksum);
          const parts: Buffer[] = [];
          while (Buffer.concat(parts).length < frame.length) parts.push(pieces[at++]!);
          assert.ok(Buffer.concat(parts).equals(frame));
          assert.equal(zstdDecompressSync(Buffer.concat(parts)).toString(), content);
        }
        assert.equal(at, pieces.length);
      },
    ),
    { numRuns: 100 },
  );
});
