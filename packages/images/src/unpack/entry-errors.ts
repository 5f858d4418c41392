import { ImageError, isDiskFull } from '../errors.ts';
import { displayPath, type TarEntry } from '../tar/tar-entry.ts';

// What goes wrong with one member of an archive, by its name.

/** @param cause an error of the file system, which refused to do `what` */
export function entryFailed(entry: TarEntry | undefined, what: string, cause: unknown): ImageError {
  const { code, message } = cause as NodeJS.ErrnoException;
  return new ImageError(
    isDiskFull(cause) ? 'disk-full' : 'unpack-failed',
    `${what} ${displayPath(entry?.path ?? '')}: ${code ?? message}`,
    { cause },
  );
}

/** Runs `work`; what the file system throws is an error of the entry. @throws ImageError */
export function asEntryError<T>(entry: TarEntry | undefined, what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof ImageError ? error : entryFailed(entry, what, error);
  }
}

export function invalidEntry({ path }: TarEntry, cause: string): ImageError {
  return new ImageError('invalid-archive', `unpack ${displayPath(path)}: ${cause}`);
}

export function unsafeEntry({ path }: TarEntry, cause: string): ImageError {
  return new ImageError('unsafe-path', `unpack ${displayPath(path)}: ${cause}`);
}
