import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { ImageError } from '../errors.ts';
import type { Descriptor } from '../manifest.ts';
import type { FetchOptions } from '../store/store-contents.ts';
import type { HttpAnswer } from './http-exchange.ts';
import type { RegistryClient } from './registry-client.ts';
import { type RetryPolicy, waitForRetry } from './retries.ts';

const writeBytes = 1024 * 1024;

/** A download that may take several requests: where it is, and the digest so far. */
interface Download {
  file: FileHandle;
  hash: Hash;
  offset: number;
}

/**
 * Downloads a blob into a new file at `path` and checks its digest and size. A cut connection is resumed where it broke;
 * where the server cannot, it starts again from the first byte.
 * @throws ImageError digest-mismatch, registry-unavailable, …
 */
export async function downloadBlob(
  client: RegistryClient,
  { descriptor, path, retries }: { descriptor: Descriptor; path: string; retries: RetryPolicy },
  { signal, onProgress }: FetchOptions,
): Promise<void> {
  const { digest, size } = descriptor;
  const what = `get blob ${digest} from ${client.host}`;
  await using file = await open(path, 'w', 0o600);
  const download: Download = { file, hash: createHash('sha256'), offset: 0 };
  let canResume = true;
  let furthest = 0;
  let wasResumed = false;
  for (let failures = 0; ; ) {
    const isResumed = canResume && download.offset > 0;
    if (!isResumed) await restart(download);
    const headers = isResumed ? { Range: `bytes=${download.offset}-` } : {};
    const answer = await client.get(`blobs/${digest}`, { what, signal, headers });
    const start = startOf(answer);
    if (start !== download.offset) {
      if (!isResumed) throw await client.refused(answer, what);
      // The server refuses or mistakes ranges; what it sends must not land at a wrong place (field case IMG-18).
      canResume = false;
      if (start !== 0) {
        answer.body.destroy();
        continue;
      }
      await restart(download);
    }
    wasResumed ||= download.offset > 0;
    const broken = await receive(download, answer, { what, size, signal, onProgress });
    if (broken === undefined) {
      const found = `sha256:${download.hash.digest('hex')}`;
      if (found === digest) return;
      // The pieces may have come from servers that disagree: all from one is worth a try.
      if (!wasResumed) throw new ImageError('digest-mismatch', `${what}: what came has digest ${found}`);
      [canResume, wasResumed] = [false, false];
      continue;
    }
    failures = download.offset > furthest ? 1 : failures + 1;
    furthest = Math.max(furthest, download.offset);
    if (failures >= retries.attempts) {
      const text = `broken off at byte ${download.offset} of ${size}: ${broken.message}`;
      throw new ImageError('registry-unavailable', `${what}: ${text}`, { cause: broken });
    }
    await waitForRetry(retries, failures, { signal });
  }
}

async function restart(download: Download): Promise<void> {
  download.hash = createHash('sha256');
  download.offset = 0;
  await download.file.truncate(0);
}

/** The place of an answer's first byte; undefined when it is not content. */
function startOf({ status, headers }: HttpAnswer): number | undefined {
  if (status === 200) return 0;
  const range = /^bytes ([0-9]+)-/.exec(headers['content-range'] ?? '');
  return status === 206 && range !== null ? Number(range[1]) : undefined;
}

/** Writes an answer's body. @returns what broke it off, undefined when it is complete */
async function receive(
  download: Download,
  { body }: HttpAnswer,
  { what, size, signal, onProgress }: FetchOptions & { what: string; size: number },
): Promise<Error | undefined> {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  let broken: Error | undefined;
  const flush = async () => {
    if (pendingBytes === 0) return;
    const chunks = pending;
    pending = [];
    for (const chunk of chunks) download.hash.update(chunk);
    await writeAll(download.file, chunks, download.offset);
    download.offset += pendingBytes;
    pendingBytes = 0;
    onProgress(download.offset);
  };
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      pending.push(chunk);
      pendingBytes += chunk.length;
      if (download.offset + pendingBytes > size) {
        throw new ImageError('digest-mismatch', `${what}: more than the announced ${size} bytes came`);
      }
      if (pendingBytes >= writeBytes) await flush();
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ImageError || (error as NodeJS.ErrnoException).syscall === 'write')
      throw diskError(error, what);
    broken = error as Error;
  }
  await flush();
  // Whatever broke after the last byte no longer matters.
  if (download.offset === size) return undefined;
  return broken ?? new Error('the connection was closed');
}

/** Writes pieces, and gives their memory back: see `release` of decompress.ts for what the garbage collector would take. */
async function writeAll(file: FileHandle, chunks: Buffer[], offset: number): Promise<void> {
  let done = (await file.writev(chunks, offset)).bytesWritten;
  for (const chunk of chunks) {
    // Rare: a disk that took a part only.
    const missing = Math.min(chunk.length, Math.max(chunk.length - done, 0));
    for (let left = missing; left > 0; ) {
      const from = chunk.length - left;
      left -= (await file.write(chunk, from, left, offset + from)).bytesWritten;
    }
    offset += chunk.length;
    done -= chunk.length;
    if (chunk.byteLength === chunk.buffer.byteLength) (chunk.buffer as ArrayBuffer).transfer(0);
  }
}

function diskError(error: unknown, what: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  const isFull = code === 'ENOSPC' || code === 'EDQUOT';
  return isFull ? new ImageError('disk-full', `${what}: ${code}`, { cause: error }) : error;
}
