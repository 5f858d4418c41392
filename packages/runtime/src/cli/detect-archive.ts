import { type FileHandle, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CliError, isCode } from './errors.ts';

/** The forms of an image on disk; the names are the transport prefixes that PullImage takes. */
export type ArchiveKind = 'oci' | 'oci-archive' | 'docker-archive';

/** Looks what a file or directory holds. @throws CliError when it holds no image */
export async function detectArchive(path: string): Promise<ArchiveKind> {
  try {
    if ((await stat(path)).isDirectory()) {
      await stat(join(path, 'oci-layout'));
      return 'oci';
    }
    await using file = await open(path, 'r');
    return await detectTar(file, path);
  } catch (error) {
    if (!isCode(error, 'ENOENT', 'EACCES', 'ENOTDIR')) throw error;
    const text =
      error instanceof Error && error.message.includes('oci-layout')
        ? 'it has no oci-layout file'
        : undefined;
    throw new CliError(`cannot read an image from "${path}": ${text ?? (error as Error).message}`, {
      cause: error,
    });
  }
}

async function detectTar(file: FileHandle, path: string): Promise<ArchiveKind> {
  const names = await tarNames(file);
  if (names === undefined) {
    throw new CliError(`"${path}" is not a tar archive; a compressed one must be decompressed first`);
  }
  // Archives of newer Docker versions are both; their manifest.json is what names the images.
  if (names.has('manifest.json')) return 'docker-archive';
  if (names.has('oci-layout')) return 'oci-archive';
  throw new CliError(`"${path}" holds no image: neither oci-layout nor manifest.json is in it`);
}

/** Names at the top of a tar file, from its headers alone; undefined when the first block is no header. */
async function tarNames(file: FileHandle): Promise<Set<string> | undefined> {
  const names = new Set<string>();
  const header = Buffer.alloc(512);
  for (let position = 0; ; ) {
    const { bytesRead } = await file.read(header, 0, 512, position);
    if (bytesRead < 512 || header[0] === 0) return position === 0 ? undefined : names;
    if (header.toString('latin1', 257, 262) !== 'ustar') return position === 0 ? undefined : names;
    names.add(header.toString('latin1', 0, 100).replace(/\0.*$/s, '').replace(/^\.\//, ''));
    position += 512 + Math.ceil(tarSize(header) / 512) * 512;
  }
}

// Octal digits, or (first bit set) a big-endian number in the last eight bytes of the field.
function tarSize(header: Buffer): number {
  if ((header[124]! & 0x80) !== 0) return Number(header.readBigUInt64BE(128));
  return Number.parseInt(header.toString('latin1', 124, 136).replace(/[\0 ]/g, ''), 8) || 0;
}
