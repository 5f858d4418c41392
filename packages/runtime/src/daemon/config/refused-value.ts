import { CriError } from '../../errors.ts';
import { keyLine } from './key-line.ts';

/** Where a value comes from. */
export interface Source {
  /** A file, or a flag: `--root`. */
  name: string;
  /** Of a file. */
  text?: string;
}

/** The error for a value that cannot be used, with its file and line or its flag. */
export function refusedValue(
  { name, text }: Source,
  { path, value, why }: { path: string[]; value: unknown; why: string },
): CriError {
  const place = text === undefined ? name : `${name}:${keyLine(text, path)}`;
  const message = `config ${place}: ${path.join('.')} = ${JSON.stringify(value)}: ${why}`;
  return new CriError('invalid-argument', message);
}

/** What to say of a key that is none. */
export function unknownKey(key: string, known: readonly string[]): string {
  const meant = known.find((name) => name.replaceAll('_', '') === key.toLowerCase().replaceAll(/[-_]/g, ''));
  return meant === undefined
    ? `unknown key; known are ${known.join(', ')}`
    : `unknown key; it is spelt ${meant}`;
}
