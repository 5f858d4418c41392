import { applyResource } from '@amphipod/fabric';
import { defineCommand } from '../command.ts';
import { CliError, UsageError } from '../errors.ts';
import { datastoreOptions, withDatastore } from './datastore-options.ts';
import { fileOption, readResources } from './read-resources.ts';
import { subjectOf } from './subject.ts';

export const command = defineCommand({
  name: 'net apply',
  summary: 'Create or update resources of the network',
  operands: '',
  arity: [0, 0],
  isLocal: true,
  options: { ...fileOption, ...datastoreOptions },
  details: `Takes what calicoctl takes: documents of projectcalico.org/v3, lists of them, several in a file. Nothing is changed when
one of them has a mistake. A metadata.resourceVersion binds an update to that revision.

Examples:
  amphipod net apply -f pools.yaml
  amphipod net get ippools -o yaml | sed s/Never/Always/ | amphipod net apply -f -`,
  async run(_operands, { filename = [], ...values }, { env, stdout }) {
    if (filename.length === 0) throw new UsageError('give -f FILE');
    const resources = readResources(filename);
    return await withDatastore(values, env, async (store) => {
      for (const [done, resource] of resources.entries()) {
        try {
          const { isNew } = await applyResource(store, resource);
          stdout.write(`${subjectOf(resource)} ${isNew ? 'created' : 'updated'}\n`);
        } catch (error) {
          const left = resources.length - done;
          throw new CliError(`${(error as Error).message} (${left} of ${resources.length} not applied)`, {
            cause: error,
          });
        }
      }
      return 0;
    });
  },
});
