/** Where a key is: the names and indexes that lead to it, its own name last. */
export type KeyPath = readonly string[];

interface Level {
  /** Keys so far; undefined in a list. */
  keys: Set<string> | undefined;
  /** Of the value that is being read. */
  name: string;
  index: number;
}

/** A string, or a character that opens, closes or separates; all else is of no interest here. */
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]:,]/gs;

/**
 * Keys that an object has twice or more: JSON.parse keeps the last and says nothing.
 * @param text valid JSON
 */
export function duplicateKeys(text: string): KeyPath[] {
  const found: KeyPath[] = [];
  const levels: Level[] = [];
  let last = '';
  for (const [token] of text.matchAll(TOKEN)) {
    const level = levels.at(-1);
    switch (token) {
      case '{':
      case '[':
        levels.push({ keys: token === '{' ? new Set() : undefined, name: '0', index: 0 });
        break;
      case '}':
      case ']':
        levels.pop();
        break;
      case ',':
        if (level !== undefined && level.keys === undefined) level.name = String(++level.index);
        break;
      case ':': {
        level!.name = JSON.parse(last) as string;
        if (level!.keys!.has(level!.name)) found.push(levels.map(({ name }) => name));
        level!.keys!.add(level!.name);
        break;
      }
      default:
        last = token;
    }
  }
  return found;
}
