/** A place in a text, both counted from 1; columns in UTF-16 units, as editors count. */
export interface Position {
  line: number;
  column: number;
}

/** Where a key's value is said: `plugins[0].ipam.subnet`; the whole text is ''. */
export type JsonKey = string;

export interface JsonText {
  value: unknown;
  /** Of the key, or of a list's element. */
  positions: Map<JsonKey, Position>;
  /** Keys that an object has again; the last one counts. */
  duplicates: { key: JsonKey; position: Position }[];
}

export class JsonSyntaxError extends Error {
  readonly position: Position;

  constructor(message: string, position: Position) {
    super(message);
    this.name = 'JsonSyntaxError';
    this.position = position;
  }
}

/** The key of a member: `a`, `b` → `a.b`. */
export function memberKey(parent: JsonKey, name: string): JsonKey {
  return parent === '' ? name : `${parent}.${name}`;
}

/** The key of a list's element. */
export function elementKey(parent: JsonKey, index: number): JsonKey {
  return `${parent}[${index}]`;
}

const MAX_DEPTH = 200;
const literals = new Map<string, unknown>([
  ['true', true],
  ['false', false],
  ['null', null],
]);

/** Reads JSON (RFC 8259) and notes where everything is. @throws JsonSyntaxError saying what was expected where */
export function readJson(text: string): JsonText {
  const positions = new Map<JsonKey, Position>();
  const duplicates: JsonText['duplicates'] = [];
  let at = 0;

  const positionOf = (index: number): Position => {
    const before = text.slice(0, index);
    const lineStart = before.lastIndexOf('\n') + 1;
    return { line: before.split('\n').length, column: index - lineStart + 1 };
  };
  const fail = (wanted: string, index = at): never => {
    const got = index >= text.length ? 'the end of the file' : JSON.stringify(text[index]);
    throw new JsonSyntaxError(`got ${got}, want ${wanted}`, positionOf(index));
  };
  const skipSpace = () => {
    while (at < text.length && ' \t\r\n'.includes(text[at]!)) at++;
  };
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0];
  };

  const readString = (): string => {
    const whole = match(/"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y);
    if (whole === undefined) {
      const start = match(/"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*/y)!;
      return fail(
        'the closing " of a string, without line breaks and unknown \\ sequences',
        at + start.length,
      );
    }
    at += whole.length;
    return JSON.parse(whole) as string;
  };
  /** The members or elements up to the closing bracket. */
  const readItems = (close: ']' | '}', readItem: () => void) => {
    at++;
    skipSpace();
    if (text[at] === close) {
      at++;
      return;
    }
    for (;;) {
      readItem();
      skipSpace();
      const next = text[at];
      if (next !== ',' && next !== close) fail(`"," or "${close}"`);
      at++;
      if (next === close) return;
      skipSpace();
      if (text[at] === close) fail('another one after the ","');
    }
  };
  const readObject = (key: JsonKey, depth: number): Record<string, unknown> => {
    const object: [string, unknown][] = [];
    const seen = new Set<string>();
    readItems('}', () => {
      skipSpace();
      if (text[at] !== '"') fail('a key in double quotes');
      const position = positionOf(at);
      const name = readString();
      const member = memberKey(key, name);
      if (seen.has(name)) duplicates.push({ key: member, position });
      seen.add(name);
      positions.set(member, position);
      skipSpace();
      if (text[at] !== ':') fail('":"');
      at++;
      object.push([name, readValue(member, depth + 1)]);
    });
    return Object.fromEntries(object);
  };
  const readList = (key: JsonKey, depth: number): unknown[] => {
    const list: unknown[] = [];
    readItems(']', () => {
      skipSpace();
      const element = elementKey(key, list.length);
      positions.set(element, positionOf(at));
      list.push(readValue(element, depth + 1));
    });
    return list;
  };
  const readValue = (key: JsonKey, depth: number): unknown => {
    skipSpace();
    if (depth > MAX_DEPTH) fail(`at most ${MAX_DEPTH} levels`);
    const first = text[at];
    if (first === '{') return readObject(key, depth);
    if (first === '[') return readList(key, depth);
    if (first === '"') return readString();
    const word = match(/[a-zA-Z]+/y);
    if (word !== undefined && literals.has(word)) {
      at += word.length;
      return literals.get(word);
    }
    const number = match(/-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y);
    if (number === undefined) return fail('a value');
    at += number.length;
    return Number(number);
  };

  positions.set('', { line: 1, column: 1 });
  // As Go's decoder and JSON.parse: a byte order mark is no JSON.
  const value = readValue('', 0);
  skipSpace();
  if (at < text.length) fail('the end of the file');
  return { value, positions, duplicates };
}
