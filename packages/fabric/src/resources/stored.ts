import { type Place, refusal } from './place.ts';

/** The place of an entry of the datastore. */
export function storedPlace(key: string): Place {
  return { what: `read datastore key ${JSON.stringify(key)}`, path: '', isStrict: false };
}

/** Reads the JSON of an entry. @throws FabricError `invalid-resource` */
export function parseStored(place: Place, parse: () => unknown): unknown {
  try {
    return parse();
  } catch (error) {
    throw refusal(place, undefined, String(error));
  }
}
