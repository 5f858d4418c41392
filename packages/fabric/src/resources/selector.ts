import { FabricError } from '../errors.ts';

/** An expression over labels, such as `has(rack) && zone in {'a', 'b'}`. */
export type Selector =
  | { readonly type: 'all' }
  /** Matches what belongs to no namespace; only policy has a use for it. */
  | { readonly type: 'global' }
  | { readonly type: 'has'; readonly label: string }
  | {
      readonly type: 'equal' | 'not-equal' | 'contains' | 'starts-with' | 'ends-with';
      readonly label: string;
      readonly value: string;
    }
  | { readonly type: 'in' | 'not-in'; readonly label: string; readonly values: readonly string[] }
  | { readonly type: 'not'; readonly operand: Selector }
  | { readonly type: 'and' | 'or'; readonly operands: readonly Selector[] };

export type Labels = Readonly<Record<string, string>>;

const MAX_LABEL = 512;
// Words are cut before labels: `has(`, `all(` and `global(` begin an operand, and operators follow a label only.
const TOKEN = /[ \t]*(?:(\|\||&&|==|!=|[!(){},])|"([^"]*)"|'([^']*)'|([\w./-]+))/y;
const BLANKS = /[ \t]*/y;
const OPERATOR = /[ \t]*(==|!=|(?:contains|starts[ \t]*with|ends[ \t]*with|not[ \t]*in|in)(?![\w./-]))/y;

/**
 * Reads a selector in Calico's language: `all()`, `global()`, `has(L)`, `L == "v"`, `L != "v"`, `L in {"a", "b"}`, `L not in {…}`,
 * `L contains "v"`, `L starts with "v"`, `L ends with "v"`, `!`, `&&`, `||`, parentheses. An empty one selects everything.
 * @throws FabricError `invalid-selector`, with the column
 */
export function parseSelector(text: string): Selector {
  const input = new Input(text);
  if (input.isAtEnd()) return { type: 'all' };
  const selector = parseOr(input);
  if (!input.isAtEnd()) throw input.fail('"&&", "||" or the end');
  return selector;
}

/** Reads one selector from left to right. */
class Input {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  isAtEnd(): boolean {
    BLANKS.lastIndex = this.#at;
    BLANKS.exec(this.#text);
    return BLANKS.lastIndex === this.#text.length;
  }

  /** Takes this sign if it comes next. */
  take(sign: string): boolean {
    const token = this.#match(TOKEN);
    if (token?.[1] !== sign) return false;
    this.#at = TOKEN.lastIndex;
    return true;
  }

  expect(sign: string): void {
    if (!this.take(sign)) throw this.fail(`"${sign}"`);
  }

  string(): string {
    const token = this.#match(TOKEN);
    const value = token?.[2] ?? token?.[3];
    if (value === undefined) throw this.fail('a string in quotes');
    this.#at = TOKEN.lastIndex;
    return value;
  }

  label(): string {
    const label = this.#match(TOKEN)?.[4];
    if (label === undefined || label.length > MAX_LABEL) {
      throw this.fail(`a label of at most ${MAX_LABEL} characters, or all(), global(), has(LABEL)`);
    }
    this.#at = TOKEN.lastIndex;
    return label;
  }

  /** The operator after a label, in one spelling. */
  operator(): string {
    const operator = this.#match(OPERATOR)?.[1];
    if (operator === undefined) {
      throw this.fail('an operator: ==, !=, in, not in, contains, starts with, ends with');
    }
    this.#at = OPERATOR.lastIndex;
    return operator.replaceAll(/[ \t]/g, '');
  }

  fail(wanted: string): FabricError {
    return new FabricError(
      'invalid-selector',
      `parse selector ${JSON.stringify(this.#text)}: column ${this.#at + 1}: want ${wanted}`,
    );
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#text);
  }
}

function parseOr(input: Input): Selector {
  const operands = [parseAnd(input)];
  while (input.take('||')) operands.push(parseAnd(input));
  return operands.length === 1 ? operands[0]! : { type: 'or', operands };
}

function parseAnd(input: Input): Selector {
  const operands = [parseOperand(input)];
  while (input.take('&&')) operands.push(parseOperand(input));
  return operands.length === 1 ? operands[0]! : { type: 'and', operands };
}

function parseOperand(input: Input): Selector {
  if (input.take('!')) return { type: 'not', operand: parseOperand(input) };
  if (input.take('(')) {
    const inner = parseOr(input);
    input.expect(')');
    return inner;
  }
  const label = input.label();
  if ((label === 'all' || label === 'global') && input.take('(')) {
    input.expect(')');
    return { type: label };
  }
  if (label === 'has' && input.take('(')) {
    const of = input.label();
    input.expect(')');
    return { type: 'has', label: of };
  }
  return parseComparison(input, label);
}

function parseComparison(input: Input, label: string): Selector {
  const operator = input.operator();
  switch (operator) {
    case 'in':
    case 'notin':
      return { type: operator === 'in' ? 'in' : 'not-in', label, values: parseSet(input) };
    case '==':
      return { type: 'equal', label, value: input.string() };
    case '!=':
      return { type: 'not-equal', label, value: input.string() };
    case 'contains':
      return { type: 'contains', label, value: input.string() };
    case 'startswith':
      return { type: 'starts-with', label, value: input.string() };
    default:
      return { type: 'ends-with', label, value: input.string() };
  }
}

function parseSet(input: Input): string[] {
  input.expect('{');
  const values: string[] = [];
  while (!input.take('}')) {
    values.push(input.string());
    if (!input.take(',')) {
      input.expect('}');
      break;
    }
  }
  return values;
}

/** True when the selector selects something with these labels. A label that is missing equals nothing. */
export function selects(selector: Selector, labels: Labels): boolean {
  switch (selector.type) {
    case 'all':
      return true;
    case 'global':
      return false;
    case 'not':
      return !selects(selector.operand, labels);
    case 'and':
      return selector.operands.every((operand) => selects(operand, labels));
    case 'or':
      return selector.operands.some((operand) => selects(operand, labels));
    case 'has':
      return Object.hasOwn(labels, selector.label);
    case 'in':
    case 'not-in': {
      const isIn = Object.hasOwn(labels, selector.label) && selector.values.includes(labels[selector.label]!);
      return isIn === (selector.type === 'in');
    }
    default:
      return comparesWith(
        selector,
        Object.hasOwn(labels, selector.label) ? labels[selector.label] : undefined,
      );
  }
}

function comparesWith(
  { type, value }: Extract<Selector, { value: string }>,
  label: string | undefined,
): boolean {
  switch (type) {
    case 'equal':
      return label === value;
    case 'not-equal':
      return label !== value;
    case 'contains':
      return label?.includes(value) ?? false;
    case 'starts-with':
      return label?.startsWith(value) ?? false;
    case 'ends-with':
      return label?.endsWith(value) ?? false;
  }
}
