import { CriError } from './errors.ts';

// limits.h; both in bytes.
const NAME_MAX = 255;
const PATH_MAX = 4096;

/**
 * Refuses a path that the kernel would, before anything is made of it (field case LOG-07).
 * @param field of the request that it is from @throws CriError invalid-argument
 */
export function checkPathLength(field: string, path: string): void {
  const fits = path.split('/').every((name) => Buffer.byteLength(name) <= NAME_MAX);
  if (fits && Buffer.byteLength(path) < PATH_MAX) return;
  const why = `name too long (ENAMETOOLONG): at most ${NAME_MAX} bytes between slashes, ${PATH_MAX - 1} in all`;
  throw new CriError('invalid-argument', `${field} ${JSON.stringify(path)}: ${why}`);
}
