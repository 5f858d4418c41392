import { createHash, type Hash } from 'node:crypto';
import {
  createWriteStream,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip, createZstdCompress } from 'node:zlib';
import { tarMember } from '@amphipod/images/testing';
import type { TestImage } from '../../test/cri/support/test-images.ts';

/** A layer to make: the same numbers give the same bytes. */
export interface LayerSpec {
  seed: number;
  /** Contents of its files together. */
  bytes: number;
  compression: 'gzip' | 'zstd';
  /** `mixed`: as in an image of a distribution with an application: 20 KB on average, half of them below 3.5 KB. */
  files: 'mixed' | 'small';
}

interface Blob {
  mediaType: string;
  digest: string;
  size: number;
}

const MIB = 1 << 20;
const smallFileBytes = 1024;

/** Writes OCI layouts of images into `dir`; layers that several images have are made once. */
export async function buildBenchImages(
  dir: string,
  images: Record<string, LayerSpec[]>,
): Promise<Record<string, TestImage>> {
  const layers = new Map<string, Promise<Blob & { diffId: string }>>();
  const built: Record<string, TestImage> = {};
  mkdirSync(`${dir}/blobs/sha256`, { recursive: true });
  const pool = contentPool();
  for (const [name, specs] of Object.entries(images)) {
    const blobs = [];
    // One core each: the next one begins while the last one is compressed.
    for (const spec of specs) {
      const key = JSON.stringify(spec);
      if (!layers.has(key)) layers.set(key, writeLayer(dir, spec, pool));
      blobs.push(layers.get(key)!);
      if (layers.size % 2 === 0) await Promise.all(blobs);
    }
    built[name] = writeImage(dir, name, await Promise.all(blobs));
  }
  return built;
}

/** The layers of an image that {@link buildBenchImages} made, as its manifest has them. */
export function layersOf({ dir, manifestDigest }: TestImage): (Blob & { compression: 'gzip' | 'zstd' })[] {
  const text = readFileSync(`${dir}/blobs/${manifestDigest.replace(':', '/')}`, 'utf8');
  const { layers } = JSON.parse(text) as { layers: Blob[] };
  return layers.map((blob) => ({ ...blob, compression: blob.mediaType.endsWith('+zstd') ? 'zstd' : 'gzip' }));
}

function writeImage(dir: string, name: string, layers: (Blob & { diffId: string })[]): TestImage {
  const put = (mediaType: string, value: object): Blob => {
    const bytes = Buffer.from(JSON.stringify(value));
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    writeFileSync(`${dir}/blobs/${digest.replace(':', '/')}`, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const config = put('application/vnd.oci.image.config.v1+json', {
    ...{ architecture: process.arch === 'x64' ? 'amd64' : process.arch, os: 'linux' },
    config: { Labels: { name } },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
  });
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = put(mediaType, {
    ...{ schemaVersion: 2, mediaType, config },
    layers: layers.map(({ diffId: _, ...blob }) => blob),
  });
  // One layout for each image, all with the same blobs.
  const own = `${dir}/${name}`;
  mkdirSync(own);
  symlinkSync('../blobs', `${own}/blobs`);
  writeFileSync(`${own}/oci-layout`, '{"imageLayoutVersion":"1.0.0"}');
  const annotations = { 'org.opencontainers.image.ref.name': name };
  writeFileSync(
    `${own}/index.json`,
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
  return { dir: own, name, id: config.digest, manifestDigest: manifest.digest };
}

async function writeLayer(dir: string, spec: LayerSpec, pool: Buffer): Promise<Blob & { diffId: string }> {
  const temp = `${dir}/layer-${createHash('sha256').update(JSON.stringify(spec)).digest('hex')}`;
  const [diffId, digest] = [createHash('sha256'), createHash('sha256')];
  await pipeline(
    Readable.from(tarOf(spec, pool), { objectMode: false, highWaterMark: MIB }),
    hashing(diffId),
    spec.compression === 'gzip' ? createGzip({ chunkSize: MIB }) : createZstdCompress({ chunkSize: MIB }),
    hashing(digest),
    createWriteStream(temp),
  );
  const hex = digest.digest('hex');
  const { size } = statSync(temp);
  renameSync(temp, `${dir}/blobs/sha256/${hex}`);
  return {
    mediaType: `application/vnd.oci.image.layer.v1.tar+${spec.compression}`,
    digest: `sha256:${hex}`,
    size,
    diffId: `sha256:${diffId.digest('hex')}`,
  };
}

function hashing(hash: Hash): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
}

function* tarOf({ seed, bytes, files }: LayerSpec, pool: Buffer): Generator<Buffer> {
  const random = xorshift(seed);
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  for (let done = 0, number = 0; done < bytes; number++) {
    const dir = `layer${seed}/d${Math.floor(number / 600)}`;
    const members = [];
    if (number % 600 === 0) members.push(...tarMember({ path: dir, type: 'directory', mtime: 1e9 }));
    const size = files === 'small' ? smallFileBytes : mixedSize(random, bytes);
    const at = Math.floor(random() * (pool.length - size));
    const path = `${dir}/s${number % 30}/file-${number}`;
    members.push(...tarMember({ path, data: pool.subarray(at, at + size), mtime: 1e9 + number }));
    for (const piece of members) {
      pending.push(piece);
      pendingBytes += piece.length;
    }
    if (pendingBytes >= MIB) {
      yield Buffer.concat(pending);
      pending = [];
      pendingBytes = 0;
    }
    done += size;
  }
  yield Buffer.concat([...pending, Buffer.alloc(1024)]);
}

/** Log-normal: median 3.3 KB, mean 20 KB. */
function mixedSize(random: () => number, limit: number): number {
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return Math.min(Math.floor(Math.exp(8.1 + 1.9 * normal)), 16 * MIB, limit);
}

/** 24 MiB to take files from: text, something like machine code, and a tenth that is compressed already; gzip makes it 2.1 times smaller. */
function contentPool(): Buffer {
  const random = xorshift(1);
  const number = () => Math.floor(random() * 2 ** 32);
  const words = Array.from({ length: 800 }, () =>
    Buffer.from(`${number().toString(36)} ${number().toString(36)} `),
  );
  const instructions = Array.from({ length: 800 }, () =>
    Buffer.from(Uint32Array.of(number(), number(), number()).buffer),
  );
  const pool = Buffer.alloc(24 * MIB);
  for (let at = 0; at < pool.length; ) {
    const kind = random();
    const end = Math.min(at + 8192, pool.length);
    if (kind < 0.1) for (; at < end; at++) pool[at] = number();
    const tokens = kind < 0.55 ? words : instructions;
    while (at < end) {
      const token = tokens[Math.floor(random() ** 2 * tokens.length)]!;
      // The shorter half of some, as repeated pieces have any length.
      at += token.copy(pool, at, 0, random() < 0.3 ? 4 : token.length);
    }
  }
  return pool;
}

function xorshift(seed: number): () => number {
  let state = (seed * 0x9e3779b1 + 0x7f4a7c15) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}
