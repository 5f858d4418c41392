import type { ImageError } from '../errors.ts';
import { isObject } from '../is-object.ts';

/** The error for a value at a place in the file. */
export type Wrong = (where: string, value: unknown, rule: string) => ImageError;

/** @throws ImageError when it is no object, or has a key that is not known */
export function objectOf(
  value: unknown,
  { where, known, wrong }: { where: string; known?: string[]; wrong: Wrong },
): Record<string, unknown> {
  if (!isObject(value)) throw wrong(where, value, 'must be an object');
  for (const [key, item] of Object.entries(value)) {
    if (known !== undefined && !known.includes(key))
      throw wrong(`${where}.${key}`, item, `no such key: known are ${known.join(', ')}`);
  }
  return value;
}
