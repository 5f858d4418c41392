import { readFileSync } from 'node:fs';
import { isCode } from '@amphipod/linux';

/** The text of a file, empty when it is not there. */
export function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return '';
    throw error;
  }
}
