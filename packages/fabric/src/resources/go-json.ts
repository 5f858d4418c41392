type Reviver = (this: unknown, key: string, value: unknown, context?: { source?: string }) => unknown;
interface WholeJson {
  parse(text: string, reviver: Reviver): unknown;
  rawJSON(text: string): unknown;
}
/** TypeScript's library does not know yet what Node.js 22 brought: the source of numbers, and numbers written from text. */
const json = JSON as unknown as WholeJson;

/** JSON as Go's encoding/json writes it: without blanks, and with the characters that HTML could take for its own escaped. */
export function formatGoJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'bigint' ? json.rawJSON(inner.toString()) : inner,
  ).replaceAll(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Reads JSON in which the members with these names are whole numbers of up to 64 bits, as bigints. */
export function parseBigJson(text: string, isBig: (key: string) => boolean): unknown {
  return json.parse(text, function (key, value, context) {
    const isMember = !Array.isArray(this) && typeof value === 'number' && isBig(key);
    return isMember && /^\d+$/.test(context?.source ?? '') ? BigInt(context!.source!) : value;
  });
}
