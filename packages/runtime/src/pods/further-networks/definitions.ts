import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import {
  isJsonObject,
  type JsonObject,
  type NetworkConfigList,
  parseJson,
  parseNetworkConfig,
  parseNetworkConfigList,
  stringifyJson,
} from '@amphipod/cni';
import { isCode } from '@amphipod/linux';
import { CriError } from '../../errors.ts';

/** A network that pods can ask for. */
export interface NetworkDefinition {
  /** Undefined: pods of every namespace can have it. */
  namespace: string | undefined;
  name: string;
  /** Undefined: the configuration of this name in the CNI configuration directory. */
  list: NetworkConfigList | undefined;
  /** Pool that a device comes from for each attachment: `example.com/fast`. */
  resourceName?: string;
  file: string;
}

export interface LoadedDefinitions {
  definitions: NetworkDefinition[];
  /** One for each file, or part of one, that cannot be used. */
  errors: CriError[];
}

const RESOURCE_ANNOTATION = 'k8s.v1.cni.cncf.io/resourceName';

/**
 * Reads a directory of networks: *.conflist, *.conf and *.json with CNI configurations, for every namespace; *.yaml, *.yml and
 * *.json with objects of kind NetworkAttachmentDefinition, each for its own namespace. A missing directory has none.
 */
export async function loadDefinitions(dir: string): Promise<LoadedDefinitions> {
  const loaded: LoadedDefinitions = { definitions: [], errors: [] };
  for (const file of filesIn(dir)) {
    try {
      for (const value of await readDocuments(file)) {
        try {
          loaded.definitions.push(readDefinition(value, file));
        } catch (error) {
          loaded.errors.push(inFile(file, error));
        }
      }
    } catch (error) {
      loaded.errors.push(inFile(file, error));
    }
  }
  return loaded;
}

const extensions: readonly string[] = ['.conflist', '.conf', '.json', '.yaml', '.yml'];

function filesIn(dir: string): string[] {
  try {
    return readdirSync(dir)
      .filter((name) => extensions.includes(extname(name)))
      .sort()
      .map((name) => join(dir, name));
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

function inFile(file: string, cause: unknown): CriError {
  return new CriError('invalid-argument', `read network ${file}: ${(cause as Error).message}`, { cause });
}

async function readDocuments(file: string): Promise<unknown[]> {
  const text = readFileSync(file, 'utf8');
  if (!file.endsWith('.yaml') && !file.endsWith('.yml')) return [parseJson(text)];
  const { parseYamlDocuments } = await import('../../cdi/parse-yaml.ts');
  return parseYamlDocuments(text);
}

function readDefinition(value: unknown, file: string): NetworkDefinition {
  if (!isJsonObject(value)) throw new Error('want an object');
  if (value.kind === undefined && value.metadata === undefined) {
    const list = parseConfig(value, undefined);
    return { namespace: undefined, name: list.name, list, file };
  }
  if (value.kind !== 'NetworkAttachmentDefinition') {
    throw new Error(`kind: got ${JSON.stringify(value.kind)}, want "NetworkAttachmentDefinition"`);
  }
  const metadata = isJsonObject(value.metadata) ? value.metadata : {};
  const { name, namespace = 'default' } = metadata;
  if (typeof name !== 'string' || name === '') throw new Error('metadata.name: missing');
  if (typeof namespace !== 'string') throw new Error('metadata.namespace: want a string');
  const resourceName = isJsonObject(metadata.annotations)
    ? metadata.annotations[RESOURCE_ANNOTATION]
    : undefined;
  return {
    ...{ namespace, name, file },
    list: readSpec(value.spec, name),
    ...(typeof resourceName === 'string' && resourceName !== '' && { resourceName }),
  };
}

function readSpec(spec: unknown, name: string): NetworkConfigList | undefined {
  const config = isJsonObject(spec) ? spec.config : undefined;
  if (config === undefined || config === null || config === '') return undefined;
  if (typeof config !== 'string')
    throw new Error('spec.config: want a string with a CNI configuration in it');
  const object = parseJson(config);
  if (!isJsonObject(object)) throw new Error('spec.config: want an object');
  return parseConfig(object, name);
}

/** @param name for a configuration that has none, as is common in a NetworkAttachmentDefinition */
function parseConfig(object: JsonObject, name: string | undefined): NetworkConfigList {
  const named = object.name === undefined && name !== undefined ? { ...object, name } : object;
  const text = stringifyJson(named);
  return Array.isArray(object.plugins) ? parseNetworkConfigList(text) : parseNetworkConfig(text);
}

/** The definition that a pod means. @throws CriError unavailable when there is none, with what is wrong in the directory */
export function findDefinition(
  { definitions, errors }: LoadedDefinitions,
  { namespace, name }: { namespace: string; name: string },
  dir: string,
): NetworkDefinition {
  const named = definitions.filter((each) => each.name === name);
  const found =
    named.find((each) => each.namespace === namespace) ?? named.find((each) => each.namespace === undefined);
  if (found !== undefined) return found;
  const [first] = errors;
  const why = first === undefined ? '' : ` (${first.message})`;
  throw new CriError(
    'unavailable',
    `find network "${namespace}/${name}": it is not defined in ${dir}${why}`,
    {
      cause: first,
    },
  );
}
