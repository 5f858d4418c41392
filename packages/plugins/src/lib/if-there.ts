import { isCode } from '@amphipod/linux';

/** What a look at the kernel gives, or `otherwise` when what it looks in is not there: the table, the chain, the set (ENOENT). */
export function ifThere<T, U>(look: () => T, otherwise: U): T | U {
  try {
    return look();
  } catch (error) {
    if (isCode(error, 'ENOENT')) return otherwise;
    throw error;
  }
}
