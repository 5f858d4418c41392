import { readFileSync, statSync } from 'node:fs';
import { ImageError } from '../errors.ts';

const maxConfigBytes = 4 * 1024 * 1024;

/** The text of a file that a setting names. @throws ImageError invalid-registry-config: missing, no file, too large */
export function readConfigFile(path: string): string {
  try {
    // A device or pipe in its place must not hang the daemon.
    const stat = statSync(path);
    if (!stat.isFile()) throw new Error('not a regular file');
    if (stat.size > maxConfigBytes) throw new Error(`${stat.size} bytes, more than ${maxConfigBytes}`);
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new ImageError('invalid-registry-config', `read ${path}: ${(cause as Error).message}`, { cause });
  }
}
