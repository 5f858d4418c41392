import { CniError, describeJson, isJsonObject, type JsonObject } from '@amphipod/cni';

/** Reads keys of a configuration; a wrong value gets an error that names key, value and what is wanted. */
export interface KeyReader {
  boolean(key: string): boolean | undefined;
  /** An integer in a range, ends included. */
  integer(key: string, min: number, max: number): number | undefined;
  string(key: string): string | undefined;
  strings(key: string): string[] | undefined;
  objects(key: string): KeyReader[] | undefined;
  object(key: string): KeyReader | undefined;
  has(key: string): boolean;
  /** For values that are right in form and wrong in meaning. */
  fail(key: string, wanted: string): never;
}

/** @param where path of the object itself: `ipam.` */
export function readKeys(object: JsonObject, where = ''): KeyReader {
  // As Go's encoding/json reads for the reference plugins: without regard to case where there is no exact match. containerd
  // depends on it, whose portMappings have keys like "HostPort".
  let lowerCased: Map<string, unknown> | undefined;
  const find = (key: string): unknown => {
    if (Object.hasOwn(object, key)) return object[key];
    // The first of several, so set last.
    lowerCased ??= new Map(
      Object.keys(object)
        .reverse()
        .map((name) => [name.toLowerCase(), object[name]]),
    );
    return lowerCased.get(key.toLowerCase());
  };
  const fail = (key: string, wanted: string): never => {
    throw new CniError(
      'invalid-network-config',
      `key "${where}${key}": got ${describeJson(find(key))}, want ${wanted}`,
      { key: `${where}${key}` },
    );
  };
  const typed =
    <T>(isRight: (value: unknown) => value is T, wanted: string) =>
    (key: string): T | undefined => {
      const value = find(key);
      if (value === undefined || value === null) return undefined;
      return isRight(value) ? value : fail(key, wanted);
    };
  const array = typed(Array.isArray as (value: unknown) => value is unknown[], 'a list');
  const child = typed(isJsonObject, 'an object');
  return {
    boolean: typed((value) => typeof value === 'boolean', 'true or false'),
    string: typed((value) => typeof value === 'string', 'a string'),
    integer(key, min, max) {
      const value = find(key);
      if (value === undefined || value === null) return undefined;
      const isRight = typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max;
      return isRight ? value : fail(key, `an integer from ${min} to ${max}`);
    },
    strings(key) {
      const list = array(key);
      return list?.every((item) => typeof item === 'string')
        ? (list as string[])
        : list && fail(key, 'a list of strings');
    },
    objects(key) {
      return array(key)?.map((item, i) =>
        isJsonObject(item) ? readKeys(item, `${where}${key}[${i}].`) : fail(key, 'a list of objects'),
      );
    },
    object(key) {
      const value = child(key);
      return value === undefined ? undefined : readKeys(value, `${where}${key}.`);
    },
    has: (key) => find(key) !== undefined && find(key) !== null,
    fail,
  };
}
