import { FabricError } from '../errors.ts';

const SHOWN_CHARACTERS = 80;

/** Where a value stands: a file, a document of it, a path of keys. Errors name all three, and the value. */
export interface Place {
  /** `read "pools.yaml", document 2 (IPPool "blue")` */
  readonly what: string;
  /** `spec.cidr`; empty for the document itself. */
  readonly path: string;
  /** Keys that nobody knows are errors; what others wrote into a datastore is kept as it is. */
  readonly isStrict: boolean;
}

/** The place of a member, or of an item of a list. */
export function placeOf(place: Place, key: string | number): Place {
  const next = typeof key === 'number' ? `[${key}]` : place.path === '' ? key : `.${key}`;
  return { ...place, path: `${place.path}${next}` };
}

/** The error for a value that cannot be used: `read "FILE", document 1 (KIND "NAME"): PATH: VALUE: WHY`. */
export function refusal(place: Place, value: unknown, why: string): FabricError {
  const path = place.path === '' ? '' : `${place.path}: `;
  const shown = value === undefined ? '' : `${shorten(JSON.stringify(value) ?? String(value))}: `;
  return new FabricError('invalid-resource', `${place.what}: ${path}${shown}${why}`);
}

function shorten(text: string): string {
  return text.length <= SHOWN_CHARACTERS ? text : `${text.slice(0, SHOWN_CHARACTERS)}…`;
}
