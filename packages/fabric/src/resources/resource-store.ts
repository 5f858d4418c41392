import { randomUUID } from 'node:crypto';
import { isCode } from '@amphipod/linux';
import type { CallOptions, Datastore, Entry } from '../datastore/datastore.ts';
import { FabricError } from '../errors.ts';
import { checkPool } from './check-pool.ts';
import type { IpPool } from './ip-pool.ts';
import { parseBlockKey } from './ipam-block.ts';
import { type Kind, type KindName, kinds, type Resources } from './kinds.ts';
import type { Resource } from './metadata.ts';
import { checkEndpointName } from './workload-endpoint.ts';

const APPLY_TRIES = 10;

/** Resources of a kind as they are at one moment. */
export interface ResourceList<R> {
  readonly resources: readonly R[];
  /** What cannot be read, FabricErrors `invalid-resource`: one that somebody broke does not hide the others. */
  readonly invalid: readonly Error[];
  /** The datastore's revision: a watch of the kind's prefix from the next one on misses nothing. */
  readonly revision: bigint;
}

/** A name, and for kinds that have it the namespace. */
export interface ResourceId {
  readonly name: string;
  readonly namespace?: string;
}

/** Reads one resource; undefined when there is none. Errors: the datastore's, and `invalid-resource`. */
export async function getResource<K extends KindName>(
  store: Datastore,
  kindName: K,
  { name, namespace, ...call }: ResourceId & CallOptions,
): Promise<Resources[K] | undefined> {
  const kind: Kind<Resources[K]> = kinds[kindName];
  const entry = await store.get(kind.key(name, namespace), call);
  return entry && kind.decode(entry);
}

/** All resources of a kind, or those of a namespace. */
export async function listResources<K extends KindName>(
  store: Datastore,
  kindName: K,
  { namespace, ...call }: { namespace?: string } & CallOptions = {},
): Promise<ResourceList<Resources[K]>> {
  const kind: Kind<Resources[K]> = kinds[kindName];
  const { entries, revision } = await store.list(kind.prefix(namespace), call);
  return { ...decodeAll(kind, entries), revision };
}

/** WorkloadEndpoints of a namespace whose names begin so; those that cannot be read are left out. */
export async function listEndpointsNamed(
  store: Datastore,
  { namespace, namePrefix, ...call }: { namespace: string; namePrefix: string } & CallOptions,
): Promise<Resources['WorkloadEndpoint'][]> {
  const kind = kinds.WorkloadEndpoint;
  const { entries } = await store.list(kind.key(namePrefix, namespace), call);
  return decodeAll(kind, entries).resources;
}

/** Reads entries of a kind's prefix, from a list or a watch. */
export function decodeAll<R extends Resource>(
  kind: Kind<R>,
  entries: readonly Entry[],
): { resources: R[]; invalid: Error[] } {
  const resources: R[] = [];
  const invalid: Error[] = [];
  for (const entry of entries) {
    try {
      const resource = kind.decode(entry);
      if (resource !== undefined) resources.push(resource);
    } catch (error) {
      if (!isCode(error, 'invalid-resource')) throw error;
      invalid.push(error as Error);
    }
  }
  return { resources, invalid };
}

/**
 * Writes a resource that is not there yet, with an id and the time.
 * @throws FabricError `already-exists`
 */
export async function createResource<R extends Resources[KindName]>(
  store: Datastore,
  resource: R,
  call: CallOptions = {},
): Promise<R> {
  const { name } = resource.metadata;
  const what = `create ${resource.kind} ${JSON.stringify(name)}`;
  const made = withMetadata(resource, {
    uid: resource.metadata.uid ?? randomUUID(),
    creationTimestamp: resource.metadata.creationTimestamp ?? timeText(new Date()),
  });
  await checkWrite(store, made, undefined, call);
  try {
    return await write(store, made, { ...call, expected: 0n });
  } catch (error) {
    if (!isCode(error, 'conflict')) throw error;
    throw new FabricError('already-exists', `${what}: there is one`, { cause: error });
  }
}

/**
 * Writes a resource anew that is there, where `metadata.resourceVersion` is the revision that it was read at; without it, whatever
 * is there is replaced.
 * @throws FabricError `not-found`, `conflict`
 */
export async function updateResource<R extends Resources[KindName]>(
  store: Datastore,
  resource: R,
  call: CallOptions = {},
): Promise<R> {
  const { kind, metadata } = resource;
  const what = `update ${kind} ${JSON.stringify(metadata.name)}`;
  const old = await getResource(store, kind, { ...idOf(resource), ...call });
  if (old === undefined) throw new FabricError('not-found', `${what}: there is none`);
  const { resourceVersion = old.metadata.resourceVersion } = metadata;
  if (resourceVersion !== old.metadata.resourceVersion) {
    throw new FabricError(
      'conflict',
      `${what}: metadata.resourceVersion is ${JSON.stringify(resourceVersion)}, that of the datastore "${old.metadata.resourceVersion}": somebody else has changed it`,
    );
  }
  const { uid, creationTimestamp } = old.metadata;
  const made = withMetadata(resource, {
    ...(uid !== undefined && { uid }),
    ...(creationTimestamp !== undefined && { creationTimestamp }),
  });
  await checkWrite(store, made, old, call);
  return await write(store, made, { ...call, expected: BigInt(old.metadata.resourceVersion!) });
}

/**
 * Creates or updates, whatever it takes. A `resourceVersion` binds it to that revision.
 * @throws FabricError `conflict`
 */
export async function applyResource<R extends Resources[KindName]>(
  store: Datastore,
  resource: R,
  call: CallOptions = {},
): Promise<{ resource: R; isNew: boolean }> {
  for (let tries = 1; ; tries++) {
    try {
      const old = await getResource(store, resource.kind, { ...idOf(resource), ...call });
      if (old !== undefined) return { resource: await updateResource(store, resource, call), isNew: false };
      if (resource.metadata.resourceVersion !== undefined) {
        throw new FabricError(
          'not-found',
          `update ${resource.kind} ${JSON.stringify(resource.metadata.name)}: there is none, and metadata.resourceVersion says that there is`,
        );
      }
      return { resource: await createResource(store, resource, call), isNew: true };
    } catch (error) {
      const isRace = isCode(error, 'conflict', 'already-exists', 'not-found');
      if (!isRace || resource.metadata.resourceVersion !== undefined || tries === APPLY_TRIES) throw error;
    }
  }
}

/** Deletes a resource; false when there was none. @throws FabricError `conflict` when it is of another revision than expected */
export async function deleteResource(
  store: Datastore,
  kindName: KindName,
  { name, namespace, ...options }: ResourceId & { expected?: bigint } & CallOptions,
): Promise<boolean> {
  return await store.delete((kinds[kindName] as Kind).key(name, namespace), options);
}

/** Checks what cannot be seen in the resource alone. @throws FabricError `invalid-resource` */
async function checkWrite(
  store: Datastore,
  resource: Resources[KindName],
  old: Resource | undefined,
  call: CallOptions,
): Promise<void> {
  if (resource.kind === 'WorkloadEndpoint') checkEndpointName(resource);
  if (resource.kind !== 'IPPool') return;
  const { resources: pools } = await listResources(store, 'IPPool', call);
  const { entries } = await store.list(kinds.IPAMBlock.prefix(), call);
  const blocks = entries.flatMap(({ key }) => parseBlockKey(key) ?? []);
  checkPool(resource, { old: old as IpPool | undefined, pools, blocks });
}

async function write<R extends Resources[KindName]>(
  store: Datastore,
  resource: R,
  options: CallOptions & { expected: bigint },
): Promise<R> {
  const kind = kinds[resource.kind] as unknown as Kind<R>;
  const { name, namespace } = resource.metadata;
  const { revision } = await store.put(kind.key(name, namespace), kind.encode(resource), options);
  return withMetadata(resource, { resourceVersion: `${revision}` });
}

function idOf({ metadata: { name, namespace } }: Resource): ResourceId {
  return { name, ...(namespace !== undefined && { namespace }) };
}

function withMetadata<R extends Resource>(resource: R, more: Partial<Resource['metadata']>): R {
  return { ...resource, metadata: { ...resource.metadata, ...more } };
}

/** A time as Kubernetes writes it, without fractions of a second. */
export function timeText(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, 'Z');
}
