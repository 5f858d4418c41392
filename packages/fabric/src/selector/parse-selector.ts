import type { Selector } from './selector.ts';

const MAX_CHARACTERS = 1024;
const MAX_DEPTH = 64;
const LABEL = '[A-Za-z0-9_./-]{1,512}';
const TOKEN = new RegExp(
  [
    '\\s+',
    '(?<call>all|global)\\(\\s*\\)',
    `has\\(\\s*(?<has>${LABEL})\\s*\\)`,
    '(?<operator>==|!=|&&|\\|\\||!|\\(|\\)|\\{|\\}|,)',
    '"(?<double>[^"]*)"',
    "'(?<single>[^']*)'",
    '(?<phrase>not\\s*in(?=[\\s{])|starts\\s*with(?=[\\s"\'])|ends\\s*with(?=[\\s"\']))',
    `(?<label>${LABEL})`,
  ].join('|'),
  'y',
);

type Token = {
  kind: 'call' | 'has' | 'operator' | 'value' | 'phrase' | 'label' | 'end';
  text: string;
  at: number;
};

/** A parsed selector; `global()` may stand alone only, in a namespace selector. */
export type ParsedSelector = Selector | 'global';

/**
 * Reads Calico's selector grammar: `has(a) && (b == 'x' || !(c in {'y', 'z'}))`. Empty text is `all()`.
 * @throws RangeError that names the place: `column 5: …`
 */
export function parseSelector(text: string): Selector {
  const parsed = parseSelectorOrGlobal(text);
  if (parsed === 'global') throw new RangeError('column 1: global() is for namespace selectors');
  return parsed;
}

/** As {@link parseSelector}, with `global()`. @throws RangeError */
export function parseSelectorOrGlobal(text: string): ParsedSelector {
  if (text.length > MAX_CHARACTERS) throw new RangeError(`longer than ${MAX_CHARACTERS} characters`);
  const tokens = tokenize(text);
  if (tokens.length === 1) return { is: 'all' };
  if (tokens[0]!.kind === 'call' && tokens[0]!.text === 'global' && tokens.length === 2) return 'global';
  const parser = new Parser(tokens);
  return parser.whole();
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (match === null) throw new RangeError(`column ${at + 1}: unexpected ${JSON.stringify(text[at])}`);
    const { call, has, operator, double, single, phrase, label } = match.groups!;
    if (call !== undefined) tokens.push({ kind: 'call', text: call, at });
    else if (has !== undefined) tokens.push({ kind: 'has', text: has, at });
    else if (operator !== undefined) tokens.push({ kind: 'operator', text: operator, at });
    else if (double !== undefined || single !== undefined)
      tokens.push({ kind: 'value', text: double ?? single!, at });
    else if (phrase !== undefined)
      tokens.push({ kind: 'phrase', text: phrase.replace(/\s*(?=in$|with$)/, ' '), at });
    else if (label !== undefined) tokens.push({ kind: 'label', text: label, at });
    at = TOKEN.lastIndex;
  }
  tokens.push({ kind: 'end', text: 'the end', at });
  return tokens;
}

class Parser {
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  whole(): Selector {
    const selector = this.#or();
    if (this.#peek().kind !== 'end') throw this.#unexpected('&& or ||');
    return selector;
  }

  #or(): Selector {
    return this.#chain('or', '||', () => this.#chain('and', '&&', () => this.#operand()));
  }

  #chain(is: 'and' | 'or', operator: string, part: () => Selector): Selector {
    const of = [part()];
    while (this.#accept(operator)) of.push(part());
    return of.length === 1 ? of[0]! : { is, of };
  }

  #operand(): Selector {
    if (++this.#depth > MAX_DEPTH) throw new RangeError(`column ${this.#peek().at + 1}: nested too deeply`);
    try {
      return this.#simple();
    } finally {
      this.#depth--;
    }
  }

  #simple(): Selector {
    if (this.#accept('!')) return { is: 'not', of: this.#operand() };
    if (this.#accept('(')) {
      const inner = this.#or();
      this.#expect(')');
      return inner;
    }
    const token = this.#peek();
    if (token.kind === 'call' && token.text === 'all') {
      this.#next++;
      return { is: 'all' };
    }
    if (token.kind === 'has') {
      this.#next++;
      return { is: 'has', key: token.text };
    }
    if (token.kind !== 'label') throw this.#unexpected('a label, has(…), all(), ! or (');
    this.#next++;
    return this.#comparison(token.text);
  }

  #comparison(key: string): Selector {
    const { text, kind } = this.#peek();
    this.#next++;
    switch (kind === 'value' ? undefined : text) {
      case '==':
        return { is: 'equal', key, value: this.#value() };
      case '!=':
        return { is: 'not', of: { is: 'equal', key, value: this.#value() } };
      case 'in':
        return { is: 'in', key, values: this.#values() };
      case 'not in':
        return { is: 'not', of: { is: 'in', key, values: this.#values() } };
      case 'contains':
        return { is: 'contains', key, value: this.#value() };
      case 'starts with':
        return { is: 'starts', key, value: this.#value() };
      case 'ends with':
        return { is: 'ends', key, value: this.#value() };
      default:
        this.#next--;
        throw this.#unexpected('==, !=, in, not in, contains, starts with or ends with');
    }
  }

  #value(): string {
    const token = this.#peek();
    if (token.kind !== 'value') throw this.#unexpected('a text in quotes');
    this.#next++;
    return token.text;
  }

  #values(): string[] {
    this.#expect('{');
    const values: string[] = [];
    if (this.#accept('}')) return values;
    do values.push(this.#value());
    while (this.#accept(',') && !this.#isNext('}'));
    this.#expect('}');
    return values;
  }

  #peek(): Token {
    return this.#tokens[this.#next]!;
  }

  #isNext(operator: string): boolean {
    const token = this.#peek();
    return token.kind === 'operator' && token.text === operator;
  }

  #accept(operator: string): boolean {
    if (!this.#isNext(operator)) return false;
    this.#next++;
    return true;
  }

  #expect(operator: string): void {
    if (!this.#accept(operator)) throw this.#unexpected(JSON.stringify(operator));
  }

  #unexpected(expected: string): RangeError {
    const { text, at } = this.#peek();
    return new RangeError(`column ${at + 1}: ${JSON.stringify(text)} where ${expected} is due`);
  }
}
