import { CniError, describeJson, isJsonObject, isRawNumber, type JsonObject } from '@amphipod/cni';

/** Reads keys of a configuration; a wrong value gets an error that names key, value and what is wanted. */
export interface KeyReader {
  boolean(key: string): boolean | undefined;
  /** An integer in a range, ends included; beyond 2^53 the nearest that a number can be. */
  integer(key: string, min: number, max: number): number | undefined;
  string(key: string): string | undefined;
  strings(key: string): string[] | undefined;
  objects(key: string): KeyReader[] | undefined;
  /** A list of lists of objects; `what` the objects are, for people. */
  objectLists(key: string, what: string): KeyReader[][] | undefined;
  object(key: string): KeyReader | undefined;
  /** An object's members, all of which are strings. */
  stringMembers(key: string): [key: string, value: string][] | undefined;
  has(key: string): boolean;
  /** For values that are right in form and wrong in meaning. */
  fail(key: string, wanted: string): never;
  /** The same in words of one's own, where they are those of the reference. */
  refuse(key: string, message: string): never;
}

/**
 * Finds values of keys as Go's encoding/json does for the reference plugins: without regard to case where there is no exact
 * match. containerd depends on it, whose portMappings have keys like "HostPort".
 */
export function keyFinder(object: JsonObject): (key: string) => unknown {
  let lowerCased: Map<string, unknown> | undefined;
  return (key) => {
    if (Object.hasOwn(object, key)) return object[key];
    // The first of several, so set last.
    lowerCased ??= new Map(
      Object.keys(object)
        .reverse()
        .map((name) => [name.toLowerCase(), object[name]]),
    );
    return lowerCased.get(key.toLowerCase());
  };
}

/** @param where path of the object itself: `ipam.` */
export function readKeys(object: JsonObject, where = ''): KeyReader {
  const find = keyFinder(object);
  const refuse = (key: string, message: string): never => {
    throw new CniError('invalid-network-config', message, { key: `${where}${key}` });
  };
  const fail = (key: string, wanted: string): never =>
    refuse(key, `key "${where}${key}": got ${describeJson(find(key))}, want ${wanted}`);
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
      const found = find(key);
      if (found === undefined || found === null) return undefined;
      const value = isRawNumber(found) && /^\d+$/.test(found.rawJSON) ? Number(found.rawJSON) : found;
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
    objectLists(key, what) {
      return array(key)?.map((list, i) =>
        Array.isArray(list) && list.every(isJsonObject)
          ? list.map((item, j) => readKeys(item, `${where}${key}[${i}][${j}].`))
          : fail(key, `a list of lists of ${what}`),
      );
    },
    object(key) {
      const value = child(key);
      return value === undefined ? undefined : readKeys(value, `${where}${key}.`);
    },
    stringMembers(key) {
      const value = child(key);
      if (value === undefined) return undefined;
      const inner = readKeys(value, `${where}${key}.`);
      return Object.entries(value).map(([name, text]) =>
        typeof text === 'string' ? [name, text] : inner.fail(name, 'a string'),
      );
    },
    has: (key) => find(key) !== undefined && find(key) !== null,
    fail,
    refuse,
  };
}
