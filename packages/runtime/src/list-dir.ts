import { readdirSync } from 'node:fs';
import { isCode } from '@amphipod/linux';

/** The names in a directory, none when it is not there. */
export function listDir(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return [];
    throw error;
  }
}
