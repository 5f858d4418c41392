import { type Datastore, deletePool, deleteResource, type KindName, type ResourceId } from '@amphipod/fabric';
import { defineCommand } from '../command.ts';
import { CliError, UsageError } from '../errors.ts';
import { datastoreOptions, withDatastore } from './datastore-options.ts';
import { fileOption, readResources } from './read-resources.ts';
import { kindOf, namespaceOf, namespaceOption } from './subject.ts';

export const command = defineCommand({
  name: 'net delete',
  summary: 'Delete resources of the network',
  operands: '[KIND NAME...]',
  arity: [0, Number.POSITIVE_INFINITY],
  isLocal: true,
  options: {
    ...fileOption,
    ...namespaceOption,
    'skip-not-exists': { type: 'boolean', help: 'what is not there is no failure' },
    ...datastoreOptions,
  },
  details: `Examples:
  amphipod net delete ippool blue
  amphipod net delete -f pools.yaml --skip-not-exists`,
  async run([word, ...names], options, { env, stdout }) {
    const { filename = [], namespace, 'skip-not-exists': isLax = false, ...values } = options;
    if ((word === undefined) === (filename.length === 0)) throw new UsageError('give KIND NAME or -f FILE');
    if (word !== undefined && names.length === 0)
      throw new UsageError('arguments missing: expected KIND NAME...');
    const wanted =
      word === undefined
        ? readResources(filename).map(({ kind, metadata }) => ({ ...metadata, kind: kindOf(kind) }))
        : names.map((name) => ({ name, namespace, kind: kindOf(word) }));
    return await withDatastore(values, env, async (store) => {
      for (const { kind, name, namespace: own } of wanted) {
        const id = { name, ...namespaceOf(kind, own) };
        if (kind.isInternal) throw new CliError(`${kind.kind}: only the allocator deletes this kind`);
        const isDeleted = await deleteOne(store, kind.kind as KindName, id);
        if (!isDeleted && !isLax) throw new CliError(`there is no ${kind.kind} ${JSON.stringify(name)}`);
        if (isDeleted) stdout.write(`${kind.kind} ${JSON.stringify(name)} deleted\n`);
      }
      return 0;
    });
  },
});

/** A pool's blocks go with it. */
async function deleteOne(store: Datastore, kind: KindName, id: ResourceId): Promise<boolean> {
  if (kind === 'IPPool') return await deletePool({ store, nowMs: Date.now() }, id.name);
  return await deleteResource(store, kind, id);
}
