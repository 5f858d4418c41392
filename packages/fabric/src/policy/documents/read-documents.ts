import { isCode } from '@amphipod/linux';
import { parseAllDocuments } from 'yaml';
import type { FabricError } from '../../errors.ts';
import { type DocumentPlace, isObject, policyError } from './fields.ts';
import { parseDocument } from './parse-document.ts';
import { type Resource, resourceKey } from './resources.ts';

/** A document that unfolds beyond this is an attack or a mistake. */
const MAX_ALIASES = 100;

/** What some documents say. */
export interface ReadDocuments {
  resources: Resource[];
  /** One for each document that cannot be used. */
  problems: FabricError[];
}

/**
 * Reads YAML, or JSON, with any number of documents and Lists in it. A document that cannot be used is a problem and stops
 * none of the others.
 * @param file named in problems and as the origin of resources
 */
export function readDocuments(text: string, file: string): ReadDocuments {
  const read: ReadDocuments = { resources: [], problems: [] };
  const documents = parseAllDocuments(text);
  let number = 0;
  for (const document of Array.isArray(documents) ? documents : []) {
    const place = { file, document: ++number };
    attempt(read, () => {
      const [error] = document.errors;
      if (error !== undefined) throw policyError(place, firstLine(error.message));
      const value = toValue(() => document.toJS({ maxAliasCount: MAX_ALIASES }) as unknown, place);
      // What is left of comments and empty documents.
      if (value !== null && value !== undefined) addValue(read, value, place);
    });
  }
  return read;
}

/** References beyond reason are an error only when they are followed. */
function toValue(convert: () => unknown, place: DocumentPlace): unknown {
  try {
    return convert();
  } catch (error) {
    throw policyError(place, firstLine((error as Error).message));
  }
}

function firstLine(text: string): string {
  return text.split('\n')[0]!.replace(/:$/, '');
}

function addValue(read: ReadDocuments, value: unknown, place: DocumentPlace): void {
  if (!isObject(value) || !Array.isArray(value.items) || !String(value.kind).endsWith('List')) {
    read.resources.push(parseDocument(value, place));
    return;
  }
  const { items } = value;
  for (const [index, item] of items.entries()) {
    attempt(read, () => read.resources.push(parseDocument(item, { ...place, item: index + 1 })));
  }
}

function attempt(read: ReadDocuments, act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!isCode(error, 'invalid-config')) throw error;
    read.problems.push(error as FabricError);
  }
}

/** Leaves the first of resources with one name, and makes a problem of each other. */
export function withoutDuplicates({ resources, problems }: ReadDocuments): ReadDocuments {
  const byKey = new Map<string, Resource>();
  const duplicates: FabricError[] = [];
  for (const resource of resources) {
    const key = resourceKey(resource.origin);
    const first = byKey.get(key);
    if (first === undefined) byKey.set(key, resource);
    else {
      const { file, document } = first.origin;
      const where = `${JSON.stringify(file)} document ${document}`;
      duplicates.push(
        policyError(resource.origin, `${where} has the same ${first.origin.kind}`, {
          path: 'metadata.name',
          value: resource.origin.name,
        }),
      );
    }
  }
  return { resources: [...byKey.values()], problems: [...problems, ...duplicates] };
}
