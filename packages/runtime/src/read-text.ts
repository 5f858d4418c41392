import { readFileSync } from 'node:fs';
import { isCode } from '@amphipod/linux';

/** The text of a file, empty when it is not there, or the process below /proc that it is of has ended. */
export function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ESRCH')) return '';
    throw error;
  }
}
