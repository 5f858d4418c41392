import { FabricError } from '../../errors.ts';

/** Where a document was read. */
export interface DocumentPlace {
  file: string;
  /** The first is 1. */
  document: number;
  /** Place in a List's `items`. */
  item?: number;
}

/** `read policy "FILE" document 2: PATH: VALUE: WHY`. */
export function policyError(
  place: DocumentPlace,
  why: string,
  at?: { path: string; value?: unknown },
): FabricError {
  const item = place.item === undefined ? '' : ` item ${place.item}`;
  const where = `read policy ${JSON.stringify(place.file)} document ${place.document}${item}`;
  const path = at === undefined || at.path === '' ? '' : `${at.path}: `;
  const value = at?.value === undefined ? '' : `${shown(at.value)}: `;
  return new FabricError('invalid-config', `${where}: ${path}${value}${why}`);
}

const SHOWN_CHARACTERS = 80;

function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length <= SHOWN_CHARACTERS ? text : `${text.slice(0, SHOWN_CHARACTERS)}…`;
}

/** The keys of one object of a document, read with checks; null counts as absent. All readers throw FabricError `invalid-config`. */
export class Fields {
  readonly place: DocumentPlace;
  /** `spec.ingress[0]`; empty for the document itself. */
  readonly path: string;
  readonly #object: Record<string, unknown>;

  constructor(object: Record<string, unknown>, place: DocumentPlace, path = '') {
    this.#object = object;
    this.place = place;
    this.path = path;
  }

  keys(): string[] {
    return Object.keys(this.#object).filter((key) => this.has(key));
  }

  has(key: string): boolean {
    return Object.hasOwn(this.#object, key) && this.#object[key] !== null && this.#object[key] !== undefined;
  }

  pathOf(key: string): string {
    return this.path === '' ? key : `${this.path}.${key}`;
  }

  /** The error for a value that cannot be used. */
  refusal(key: string, why: string): FabricError {
    return policyError(this.place, why, { path: this.pathOf(key), value: this.#object[key] });
  }

  /** Refuses keys that are not listed: a misspelt one would change what a policy means. */
  allowOnly(...known: string[]): void {
    for (const key of this.keys()) {
      if (!known.includes(key)) throw this.refusal(key, `unknown key; known are ${known.join(', ')}`);
    }
  }

  /** Refuses to have two of them. */
  allowOneOf(...exclusive: string[]): void {
    const given = exclusive.filter((key) => this.has(key));
    if (given.length > 1) throw this.refusal(given[1]!, `not together with ${given[0]}`);
  }

  string(key: string): string | undefined {
    return this.#read(key, (value) => typeof value === 'string', 'a string');
  }

  boolean(key: string): boolean | undefined {
    return this.#read(key, (value) => typeof value === 'boolean', 'true or false');
  }

  /** A whole number within bounds, both included. */
  integer(key: string, min: number, max: number): number | undefined {
    const isRight = (value: unknown): value is number =>
      Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
    return this.#read(key, isRight, `a whole number from ${min} to ${max}`);
  }

  number(key: string): number | undefined {
    const isRight = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
    return this.#read(key, isRight, 'a finite number');
  }

  stringOrNumber(key: string): string | number | undefined {
    const isRight = (value: unknown): value is string | number =>
      typeof value === 'string' || typeof value === 'number';
    return this.#read(key, isRight, 'a string or a number');
  }

  /** One of the given words. */
  word<Word extends string>(key: string, words: readonly Word[]): Word | undefined {
    const isRight = (value: unknown): value is Word => words.some((word) => word === value);
    return this.#read(key, isRight, `one of ${words.join(', ')}`);
  }

  object(key: string): Fields | undefined {
    const value = this.#read(key, isObject, 'an object');
    return value && new Fields(value, this.place, this.pathOf(key));
  }

  /** A list of objects. */
  list(key: string): Fields[] | undefined {
    return this.#list(key)?.map((entry, index) => {
      const path = `${this.pathOf(key)}[${index}]`;
      // An empty entry is what `- ` in YAML gives; it means the same as {}.
      if (entry === null) return new Fields({}, this.place, path);
      if (!isObject(entry)) throw policyError(this.place, 'must be an object', { path, value: entry });
      return new Fields(entry, this.place, path);
    });
  }

  strings(key: string): string[] | undefined {
    return this.#list(key)?.map((value, index) => {
      if (typeof value === 'string') return value;
      throw policyError(this.place, 'must be a string', { path: `${this.pathOf(key)}[${index}]`, value });
    });
  }

  /** A list of strings and numbers. */
  stringsAndNumbers(key: string): (string | number)[] | undefined {
    return this.#list(key)?.map((value, index) => {
      if (typeof value === 'string' || typeof value === 'number') return value;
      const path = `${this.pathOf(key)}[${index}]`;
      throw policyError(this.place, 'must be a string or a number', { path, value });
    });
  }

  /** Names with strings, as labels are; `{}` when absent. */
  stringMap(key: string): Record<string, string> {
    const map = this.#read(key, isObject, 'an object of strings') ?? {};
    for (const [name, value] of Object.entries(map)) {
      if (typeof value !== 'string') {
        throw policyError(this.place, 'must be a string', { path: `${this.pathOf(key)}.${name}`, value });
      }
    }
    return map as Record<string, string>;
  }

  /** A key that must be there. */
  need<T>(key: string, value: T | undefined): T {
    if (value === undefined) throw this.refusal(key, 'must be given');
    return value;
  }

  #list(key: string): unknown[] | undefined {
    return this.#read(key, (value) => Array.isArray(value), 'a list');
  }

  #read<T>(key: string, isRight: (value: unknown) => value is T, what: string): T | undefined {
    if (!this.has(key)) return undefined;
    const value = this.#object[key];
    if (!isRight(value)) throw this.refusal(key, `must be ${what}`);
    return value;
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
