import { FabricError } from '../errors.ts';

/** A JSON object of a configuration, read as Go reads it: names of keys in any case, unknown keys passed over. */
export interface ConfigObject {
  string(key: string): string | undefined;
  boolean(key: string): boolean | undefined;
  /** A whole number that is not negative. */
  number(key: string): number | undefined;
  object(key: string): ConfigObject | undefined;
  /** The error for a value that cannot be used: `read network config "FILE": KEY: VALUE: WHY`. */
  refusal(key: string, why: string): FabricError;
}

/** Reads the text of a configuration. @param where the file or datastore key, for errors. @throws FabricError `invalid-config` */
export function parseConfigObject(text: string, where: string): ConfigObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new FabricError(
      'invalid-config',
      `read network config ${JSON.stringify(where)}: ${String(error)}`,
      {
        cause: error,
      },
    );
  }
  if (!isObject(value)) {
    throw new FabricError(
      'invalid-config',
      `read network config ${JSON.stringify(where)}: not a JSON object`,
    );
  }
  return configObject(value, where, '');
}

function configObject(object: Record<string, unknown>, where: string, path: string): ConfigObject {
  const byName = new Map(Object.entries(object).map(([name, value]) => [name.toLowerCase(), value]));
  const refusal = (key: string, why: string) => {
    // Secrets stay out of logs.
    const value = key === 'PSK' ? undefined : byName.get(key.toLowerCase());
    const shown = value === undefined ? '' : ` ${JSON.stringify(value)}:`;
    return new FabricError(
      'invalid-config',
      `read network config ${JSON.stringify(where)}: ${path}${key}:${shown} ${why}`,
    );
  };
  const read = <T>(key: string, isRight: (value: unknown) => value is T, what: string): T | undefined => {
    const value = byName.get(key.toLowerCase());
    if (value === undefined || value === null) return undefined;
    if (!isRight(value)) throw refusal(key, `must be ${what}`);
    return value;
  };
  return {
    refusal,
    string: (key) => read(key, (value) => typeof value === 'string', 'a string'),
    boolean: (key) => read(key, (value) => typeof value === 'boolean', 'true or false'),
    number: (key) => read(key, isCount, 'a whole number'),
    object: (key) => {
      const found = read(key, isObject, 'an object');
      return found && configObject(found, where, `${path}${key}.`);
    },
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
