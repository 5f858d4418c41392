import { type Place, placeOf, refusal } from './place.ts';

/**
 * How a value of a resource is read and checked. What `read` gives is what is stored: keys in the order of Calico's own types, and
 * no empty values where Calico leaves them out.
 */
export interface Schema<T> {
  /** @throws FabricError `invalid-resource` */
  read(value: unknown, place: Place): T;
}

/** The type of the values that a schema reads. */
export type ValueOf<S> = S extends Schema<infer T> ? T : never;

interface Field<T, IsRequired extends boolean> {
  schema: Schema<T>;
  isRequired: IsRequired;
  /** Stays when it is empty, false or 0: Calico tells such a value from one that is not given. */
  keepsEmpty: boolean;
  /** What stands in for a value that is not given. */
  fallback?: T;
}

type Fields = Record<string, Field<unknown, boolean>>;
type FieldValue<F> = F extends Field<infer T, boolean> ? T : never;
type RequiredKey<F> = { [K in keyof F]: F[K] extends Field<unknown, true> ? K : never }[keyof F];

/** The object that these fields make. */
export type ObjectOf<F> = {
  readonly [K in keyof F as K extends RequiredKey<F> ? K : never]: FieldValue<F[K]>;
} & {
  readonly [K in keyof F as K extends RequiredKey<F> ? never : K]?: FieldValue<F[K]>;
};

/** A key that must be there. */
export function required<T>(schema: Schema<T>): Field<T, true> {
  return { schema, isRequired: true, keepsEmpty: true };
}

/** A key that is always there, with this value where none is given. */
export function always<T>(schema: Schema<T>, fallback: T): Field<T, true> {
  return { schema, isRequired: true, keepsEmpty: true, fallback };
}

/** A key that may be missing. Empty, false and 0 mean the same as missing. */
export function optional<T>(schema: Schema<T>): Field<T, false> {
  return { schema, isRequired: false, keepsEmpty: false };
}

/** A key that may be missing, and whose empty, false or 0 means something else. */
export function nullable<T>(schema: Schema<T>): Field<T, false> {
  return { schema, isRequired: false, keepsEmpty: true };
}

/** An object with these keys, in this order. `check` sees it whole, for what concerns several keys. */
export function object<F extends Fields>(
  fields: F,
  check?: (value: ObjectOf<F>, place: Place) => void,
): Schema<ObjectOf<F>> {
  return {
    read(value, place) {
      if (!isObject(value)) throw refusal(place, value, 'must be an object');
      const made: Record<string, unknown> = {};
      for (const [key, field] of Object.entries(fields)) {
        const read = readField(field, value[key], placeOf(place, key));
        if (read !== undefined) made[key] = read;
      }
      for (const key of Object.keys(value)) {
        if (Object.hasOwn(fields, key)) continue;
        if (place.isStrict) throw refusal(placeOf(place, key), undefined, `no such key; ${known(fields)}`);
        made[key] = value[key];
      }
      check?.(made as ObjectOf<F>, place);
      return made as ObjectOf<F>;
    },
  };
}

function readField(field: Field<unknown, boolean>, value: unknown, place: Place): unknown {
  if (value === undefined || value === null) {
    if (field.fallback !== undefined) return field.fallback;
    if (field.isRequired) throw refusal(place, undefined, 'must be given');
    return undefined;
  }
  if (!field.keepsEmpty && isEmpty(value)) return undefined;
  const read = field.schema.read(value, place);
  return !field.keepsEmpty && isEmpty(read) ? undefined : read;
}

function known(fields: Fields): string {
  return `there are ${Object.keys(fields).join(', ')}`;
}

/** A list of any length. */
export function list<T>(item: Schema<T>): Schema<readonly T[]> {
  return {
    read(value, place) {
      if (!Array.isArray(value)) throw refusal(place, value, 'must be a list');
      return value.map((one, i) => item.read(one, placeOf(place, i)));
    },
  };
}

/** An object with any keys, stored in the order of the keys. */
export function map<T>(item: Schema<T>): Schema<Readonly<Record<string, T>>> {
  return {
    read(value, place) {
      if (!isObject(value)) throw refusal(place, value, 'must be an object');
      const keys = Object.keys(value).toSorted();
      return Object.fromEntries(keys.map((key) => [key, item.read(value[key], placeOf(place, key))]));
    },
  };
}

/** A text, checked by a function that gives what is wrong with it. */
export function text(problemOf: (value: string) => string | undefined = () => undefined): Schema<string> {
  return {
    read(value, place) {
      if (typeof value !== 'string') throw refusal(place, value, 'must be a string');
      const problem = problemOf(value);
      if (problem !== undefined) throw refusal(place, value, problem);
      return value;
    },
  };
}

/** One of a few words. */
export function oneOf<const T extends string>(...words: readonly T[]): Schema<T> {
  return {
    read(value, place) {
      if (!words.includes(value as T)) throw refusal(place, value, `must be one of ${words.join(', ')}`);
      return value as T;
    },
  };
}

export const flag: Schema<boolean> = {
  read(value, place) {
    if (typeof value !== 'boolean') throw refusal(place, value, 'must be true or false');
    return value;
  },
};

/** A whole number from `min` to `max`. */
export function integer(min: number, max: number): Schema<number> {
  return {
    read(value, place) {
      if (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max) {
        return value as number;
      }
      throw refusal(place, value, `must be a whole number from ${min} to ${max}`);
    },
  };
}

/** Anything, kept as it is. */
export const anything: Schema<unknown> = { read: (value) => value };

/** True for an object of JSON or YAML, not for a list. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What Go's `omitempty` leaves out. */
function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  return (
    value === '' || value === false || value === 0 || (isObject(value) && Object.keys(value).length === 0)
  );
}
