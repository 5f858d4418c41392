import { CniError } from './errors.ts';

/** `K=V;K2=V2`. */
export function formatArgs(args: readonly (readonly [string, string])[]): string {
  return args.map(([key, value]) => `${key}=${value}`).join(';');
}

/**
 * Reads CNI_ARGS. A plugin names the keys it knows; others are an error unless `IgnoreUnknown=1|true` is among them.
 * @throws CniError invalid-environment
 */
export function parseArgs<Key extends string>(
  text: string,
  known: readonly Key[],
): Partial<Record<Key, string>> {
  const found: [Key, string][] = [];
  const unknown: string[] = [];
  let ignoreUnknown = false;
  for (const pair of text === '' ? [] : text.split(';')) {
    const parts = pair.split('=');
    const [key, value] = parts as [string, string];
    if (parts.length !== 2) {
      throw new CniError('invalid-environment', `ARGS: invalid pair ${JSON.stringify(pair)}`);
    }
    if (key === 'IgnoreUnknown') ignoreUnknown = parseBoolean(value);
    else if ((known as readonly string[]).includes(key)) found.push([key as Key, value]);
    else unknown.push(pair);
  }
  if (unknown.length > 0 && !ignoreUnknown) {
    throw new CniError(
      'invalid-environment',
      `ARGS: unknown args [${unknown.map((pair) => JSON.stringify(pair)).join(' ')}]`,
    );
  }
  // Not by assignment, which gives a key named "__proto__" another meaning.
  return Object.fromEntries(found) as Partial<Record<Key, string>>;
}

function parseBoolean(value: string): boolean {
  if (value === '1' || value.toLowerCase() === 'true') return true;
  if (value === '0' || value.toLowerCase() === 'false') return false;
  throw new CniError(
    'invalid-environment',
    `ARGS: error parsing value of pair ["IgnoreUnknown" ${JSON.stringify(value)}]: boolean unmarshal error: invalid input ${value}`,
  );
}
