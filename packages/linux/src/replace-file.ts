import { closeSync, fchmodSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';

export interface ReplaceFileOptions {
  /** 0644 unless given, whatever the umask is. */
  mode?: number;
  /** Waits until the text is on the disk: after a power cut, too, the file is the old one or the new one. */
  durable?: boolean;
}

/**
 * Writes a file so that whoever reads it gets the old text or the new one, never a part. Between the two there is `PATH.tmp`, so
 * that a file may have one writer at a time; a process that is killed leaves it, and the next call overwrites it.
 */
export function replaceFile(
  path: string,
  text: string,
  { mode = 0o644, durable = false }: ReplaceFileOptions = {},
): void {
  const temporary = `${path}.tmp`;
  try {
    const fd = openSync(temporary, 'w', mode);
    try {
      // One that was left by a process that was killed keeps its mode.
      fchmodSync(fd, mode);
      writeFileSync(fd, text);
      if (durable) fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
