import { LineCounter, parseAllDocuments } from 'yaml';
import { FabricError } from '../errors.ts';
import { findKind, type Kind, type KindName, kinds, type Resources } from './kinds.ts';
import { type Place, placeOf, refusal } from './place.ts';
import { isObject } from './schema.ts';

const LIST_SUFFIX = 'List';

/** What a document of a file is, or why it cannot be used. */
export type ReadDocument =
  | { readonly resource: Resources[KindName]; readonly where: string }
  | { readonly error: FabricError; readonly where: string };

/**
 * Reads resources from YAML or JSON: several documents, lists (`kind: List`, `kind: IPPoolList`), also lists inside of lists. An
 * unknown key is an error, a document with an error does not stop the others, and an empty document is passed over.
 * @param file the file's name, for errors
 * @throws FabricError `invalid-resource` for what is no YAML
 */
export function readDocuments(text: string, file: string): ReadDocument[] {
  const lineCounter = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter, uniqueKeys: true });
  if ('empty' in documents) return [];
  return documents.flatMap((document, i) => {
    const where = `${JSON.stringify(file)}, document ${i + 1}`;
    const [error] = document.errors;
    if (error !== undefined) {
      const { line, col } = lineCounter.linePos(error.pos[0]);
      const problem = error.message.split('\n')[0]!.replace(/ at line \d+, column \d+:?$/, '');
      const message = `read ${where}: line ${line}, column ${col}: ${problem}`;
      return [{ where, error: new FabricError('invalid-resource', message, { cause: error }) }];
    }
    const place = { what: `read ${where}`, path: '', isStrict: true };
    let value: unknown;
    try {
      value = document.toJS();
    } catch (error) {
      // Aliases that grow beyond all bounds.
      return [{ where, error: refusal(place, undefined, (error as Error).message) }];
    }
    return value === null ? [] : readValue(value, place);
  });
}

function readValue(value: unknown, place: Place, impliedKind?: Kind): ReadDocument[] {
  try {
    if (!isObject(value)) throw refusal(place, value, 'must be an object with kind, metadata and spec');
    const kindName = value.kind ?? impliedKind?.kind;
    if (typeof kindName !== 'string') throw refusal(placeOf(place, 'kind'), value.kind, 'must be given');
    const ofList = kindName.endsWith(LIST_SUFFIX)
      ? findKind(kindName.slice(0, -LIST_SUFFIX.length))
      : undefined;
    if (kindName === LIST_SUFFIX || ofList !== undefined) return readList(value, place, ofList);
    return [{ resource: readResource(value, kindName, place), where: place.what.replace(/^read /, '') }];
  } catch (error) {
    if (!(error instanceof FabricError)) throw error;
    return [{ error, where: place.what.replace(/^read /, '') }];
  }
}

function readList(value: Record<string, unknown>, place: Place, kind: Kind | undefined): ReadDocument[] {
  if (!Array.isArray(value.items)) throw refusal(placeOf(place, 'items'), value.items, 'must be a list');
  return value.items.flatMap((item, i) =>
    readValue(item, { ...place, what: `${place.what}, item ${i + 1}` }, kind),
  );
}

function readResource(value: Record<string, unknown>, kindName: string, place: Place): Resources[KindName] {
  const kind = findKind(kindName);
  if (kind === undefined) {
    throw refusal(
      placeOf(place, 'kind'),
      kindName,
      `is not known; there are ${Object.keys(kinds).join(', ')}`,
    );
  }
  const name = isObject(value.metadata) ? value.metadata.name : undefined;
  const shown = typeof name === 'string' ? ` ${JSON.stringify(name)}` : '';
  const here = { ...place, what: `${place.what} (${kind.kind}${shown})` };
  const resource = kind.schema.read({ ...value, kind: kind.kind }, here);
  if (kind.isNamespaced && resource.metadata.namespace === undefined) {
    throw refusal(placeOf(placeOf(here, 'metadata'), 'namespace'), undefined, 'must be given');
  }
  if (!kind.isNamespaced && resource.metadata.namespace !== undefined) {
    throw refusal(
      placeOf(placeOf(here, 'metadata'), 'namespace'),
      resource.metadata.namespace,
      `${kind.kind} has none`,
    );
  }
  return resource as Resources[KindName];
}
