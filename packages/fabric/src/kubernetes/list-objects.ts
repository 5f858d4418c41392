import { KubernetesApiError } from './api-error.ts';
import type { KubernetesClient } from './client.ts';

/** As other clients of the API do. */
const PAGE_SIZE = 500;

/** What every object of the API has. */
export interface KubernetesObject {
  metadata: {
    name: string;
    resourceVersion?: string;
    annotations?: Readonly<Record<string, string>>;
  };
}

/** A collection of objects that are told apart by their names. */
export interface Collection<O extends KubernetesObject, T> {
  client: KubernetesClient;
  /** `/api/v1/nodes` */
  path: string;
  /** Takes from an object what is of use: a whole node is ten kilobytes and more. */
  read(object: O): T;
}

/** All objects as they are at one moment. */
export interface ObjectsSnapshot<T> {
  /** By name. */
  objects: ReadonlyMap<string, T>;
  /** The server's word for that moment: a watch from there misses nothing. */
  revision: string;
}

interface ObjectsPage<O> {
  metadata: { resourceVersion: string; continue?: string };
  items: readonly O[] | null;
}

/**
 * Lists the objects page by page; all in one when the server forgets between two pages where we were.
 * @throws KubernetesApiError; FabricError `unavailable`, `datastore-error`
 */
export async function listObjects<O extends KubernetesObject, T>(
  collection: Collection<O, T>,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<ObjectsSnapshot<T>> {
  try {
    return await listPages(collection, PAGE_SIZE, signal);
  } catch (error) {
    if (error instanceof KubernetesApiError && error.isPositionLost) return listPages(collection, 0, signal);
    throw error;
  }
}

/** The server's word for this moment. @throws as {@link listObjects} */
export async function currentRevision(
  { client, path }: Pick<Collection<never, never>, 'client' | 'path'>,
  signal: AbortSignal,
): Promise<string> {
  const what = `look up the revision of ${JSON.stringify(path)}`;
  const page: ObjectsPage<never> = await client.get({ what, path, query: { limit: 1 }, signal });
  return page.metadata.resourceVersion;
}

/** @param pageSize 0: everything in one answer */
async function listPages<O extends KubernetesObject, T>(
  { client, path, read }: Collection<O, T>,
  pageSize: number,
  signal: AbortSignal | undefined,
): Promise<ObjectsSnapshot<T>> {
  const objects = new Map<string, T>();
  for (let position: string | undefined; ; ) {
    const page: ObjectsPage<O> = await client.get({
      what: `list ${JSON.stringify(path)}`,
      path,
      query: {
        ...(pageSize > 0 && { limit: pageSize }),
        ...(position !== undefined && { continue: position }),
      },
      signal,
    });
    for (const object of page.items ?? []) objects.set(object.metadata.name, read(object));
    position = page.metadata.continue || undefined;
    if (position === undefined) return { objects, revision: page.metadata.resourceVersion };
  }
}
