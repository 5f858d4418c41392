import { closeSync, fchmodSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** Puts a file in place whole: a process that executes or reads the old one goes on with it. Mode 0755. */
export function writeExecutable(path: string, bytes: Buffer): void {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}`);
  try {
    const fd = openSync(temporary, 'wx', 0o755);
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
      // Whatever the umask is.
      fchmodSync(fd, 0o755);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
