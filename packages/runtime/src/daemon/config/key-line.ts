import { parse } from 'smol-toml';

/**
 * The line, from 1, on which the value of `path` begins in a TOML text that parses. The first line after the longest
 * beginning that parses without it: so quotes, dots, tables and values of several lines are the parser's affair.
 */
export function keyLine(text: string, path: readonly string[]): number | undefined {
  const lines = text.split('\n');
  let before = 0;
  for (let count = 1; count <= lines.length; count++) {
    const value = tryParse(lines.slice(0, count).join('\n'));
    if (value === undefined) continue;
    if (has(value, path)) return before + 1;
    before = count;
  }
  return undefined;
}

function tryParse(text: string): unknown {
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}

function has(value: unknown, path: readonly string[]): boolean {
  let at = value;
  for (const name of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return false;
    at = (at as Record<string, unknown>)[name];
  }
  return true;
}
