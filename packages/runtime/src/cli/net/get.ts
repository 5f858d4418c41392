import {
  type Datastore,
  formatJson,
  formatYaml,
  type Kind,
  type KindName,
  listResources,
  type Resource,
} from '@amphipod/fabric';
import { defineCommand } from '../command.ts';
import { CliError, UsageError } from '../errors.ts';
import { outputFormat, printTable } from '../output.ts';
import { datastoreOptions, withDatastore } from './datastore-options.ts';
import { fileOption, readResources } from './read-resources.ts';
import { kindOf, namespaceOf, namespaceOption, subjectOf } from './subject.ts';
import { tableOf } from './tables.ts';

export const command = defineCommand({
  name: 'net get',
  summary: 'Show resources of the network',
  operands: '[KIND [NAME...]]',
  arity: [0, Number.POSITIVE_INFINITY],
  isLocal: true,
  options: {
    ...fileOption,
    ...namespaceOption,
    'all-namespaces': { type: 'boolean', short: 'A', help: 'all namespaces' },
    output: { type: 'string', short: 'o', value: 'FORMAT', help: 'table (default), yaml, json or name' },
    ...datastoreOptions,
  },
  details: `Kinds are named as in calicoctl: ippool, ippools, bgppeer, node, wep, blockaffinity … What is printed as YAML can be applied again.

Examples:
  amphipod net get ippools
  amphipod net get node worker-1 -o yaml
  amphipod net get -f pools.yaml`,
  async run([word, ...names], options, { env, stdout, stderr }) {
    const { filename = [], namespace, 'all-namespaces': isAll = false, output, ...values } = options;
    const format = outputFormat(output, ['table', 'yaml', 'json', 'name']);
    if ((word === undefined) === (filename.length === 0)) throw new UsageError('give KIND or -f FILE');
    return await withDatastore(values, env, async (store) => {
      const warn = (line: string) => stderr.write(`amphipod: net get: ${line}\n`);
      const found =
        word === undefined
          ? await findNamed(store, readResources(filename), warn)
          : await find(store, { kind: kindOf(word), names, namespace, isAll }, warn);
      switch (format) {
        case 'yaml':
          stdout.write(formatYaml(found));
          break;
        case 'json':
          stdout.write(formatJson(found));
          break;
        case 'name':
          for (const resource of found) stdout.write(`${subjectOf(resource)}\n`);
          break;
        default:
          printTables(stdout, found);
      }
      return 0;
    });
  },
});

interface Wanted {
  kind: Kind;
  /** All of the kind when there are none. */
  names: readonly string[];
  namespace: string | undefined;
  isAll: boolean;
}

async function find(
  store: Datastore,
  { kind, names, namespace, isAll }: Wanted,
  warn: (line: string) => void,
): Promise<Resource[]> {
  const where = isAll ? {} : namespaceOf(kind, namespace);
  const { resources, invalid } = await listResources(store, kind.kind as KindName, where);
  for (const error of invalid) warn(error.message);
  if (names.length === 0) return [...resources];
  return names.map((name) => {
    const found = resources.find(({ metadata }) => metadata.name === name);
    if (found === undefined) throw new CliError(`there is no ${kind.kind} ${JSON.stringify(name)}`);
    return found;
  });
}

/** The datastore's state of the resources that a file names. */
async function findNamed(
  store: Datastore,
  named: readonly Resource[],
  warn: (line: string) => void,
): Promise<Resource[]> {
  const found: Resource[] = [];
  for (const { kind, metadata } of named) {
    const { name, namespace } = metadata;
    found.push(...(await find(store, { kind: kindOf(kind), names: [name], namespace, isAll: false }, warn)));
  }
  return found;
}

function printTables(stdout: Parameters<typeof printTable>[0], found: readonly Resource[]): void {
  const byKind = Map.groupBy(found, ({ kind }) => kind);
  for (const [kind, resources] of byKind) {
    const { headings, row } = tableOf(kind as KindName);
    printTable(stdout, headings, resources.map(row));
  }
}
