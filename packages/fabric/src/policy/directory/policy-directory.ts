import { type FSWatcher, readdirSync, readFileSync, statSync, watch } from 'node:fs';
import { join } from 'node:path';
import { FabricError } from '../../errors.ts';
import { policyError } from '../documents/fields.ts';
import { type ReadDocuments, readDocuments, withoutDuplicates } from '../documents/read-documents.ts';
import { type Resource, resourceKey } from '../documents/resources.ts';

const FILE_NAME = /^[^.].*\.(ya?ml|json)$/;
/** An editor's changes come in several steps. */
const GATHER_MS = 20;
/** What the kernel tells nothing of: a file system of another machine. */
const RESCAN_MS = 5_000;

/** Told what becomes of the resources of a directory. */
export interface ResourceSink {
  put(resource: Resource): void;
  remove(key: string): void;
}

export interface DirectoryOptions {
  dir: string;
  sink: ResourceSink;
  /** Told after some changes, so that they can be taken up together. */
  onChange(): void;
  /** Told of each document that cannot be used, once. */
  onProblem(problem: FabricError): void;
}

/** The files of a directory (not of those below it) that hold documents: `*.yaml`, `*.yml`, `*.json`; or one file. @throws FabricError `invalid-config` */
export function policyFiles(path: string): string[] {
  try {
    if (!statSync(path).isDirectory()) return [path];
    return readdirSync(path)
      .filter((name) => FILE_NAME.test(name))
      .toSorted()
      .map((name) => join(path, name));
  } catch (error) {
    throw new FabricError(
      'invalid-config',
      `read policies ${JSON.stringify(path)}: ${(error as Error).message}`,
      {
        cause: error,
      },
    );
  }
}

/** What all of the files say; a file that cannot be read is a problem. */
export function readPolicyFiles(paths: readonly string[]): ReadDocuments {
  const all: ReadDocuments = { resources: [], problems: [] };
  for (const path of paths) {
    const { resources, problems } = readFile(path) ?? { resources: [], problems: [] };
    all.resources.push(...resources);
    all.problems.push(...problems);
  }
  return withoutDuplicates(all);
}

/** Undefined for a file that is gone by now. */
function readFile(path: string): (ReadDocuments & { text: string }) | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    const problem = policyError({ file: path, document: 1 }, (error as Error).message);
    return { resources: [], problems: [problem], text: '' };
  }
  return { ...readDocuments(text, path), text };
}

interface KnownFile {
  text: string;
  resources: Resource[];
  problems: FabricError[];
}

/**
 * Follows the files of a directory. While a file has a document that cannot be used, what it said before and does not say any
 * more stays in force: a mistake must not open what was closed.
 */
export class PolicyDirectory implements Disposable {
  readonly #options: DirectoryOptions;
  readonly #files = new Map<string, KnownFile>();
  readonly #inForce = new Map<string, Resource>();
  readonly #told = new Set<string>();
  readonly #watcher: FSWatcher;
  readonly #timer: NodeJS.Timeout;
  #gathering: NodeJS.Timeout | undefined;

  /** Reads everything; the sink knows it all when this returns. @throws FabricError `invalid-config` when the directory cannot be read */
  constructor(options: DirectoryOptions) {
    this.#options = options;
    policyFiles(options.dir);
    // Listens before it looks.
    this.#watcher = watch(options.dir, () => this.#touch());
    this.#watcher.on('error', () => this.#touch());
    this.#timer = setInterval(() => this.#touch(), RESCAN_MS).unref();
    this.scan();
  }

  /** Looks at the files now. Gives whether anything has changed. */
  scan(): boolean {
    let paths: string[];
    try {
      paths = policyFiles(this.#options.dir);
    } catch (error) {
      this.#tell([error as FabricError]);
      return false;
    }
    for (const path of this.#files.keys()) if (!paths.includes(path)) this.#files.delete(path);
    for (const path of paths) this.#readAgain(path);
    const { resources, problems } = withoutDuplicates({
      resources: [...this.#files.values()].flatMap((file) => file.resources),
      problems: [...this.#files.values()].flatMap((file) => file.problems),
    });
    this.#tell(problems);
    return this.#putInForce(resources);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    clearTimeout(this.#gathering);
    this.#watcher.close();
  }

  #touch(): void {
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined;
      if (this.scan()) this.#options.onChange();
    }, GATHER_MS);
  }

  #readAgain(path: string): void {
    const known = this.#files.get(path);
    const read = readFile(path);
    if (read === undefined) {
      this.#files.delete(path);
      return;
    }
    if (known !== undefined && known.text === read.text && read.problems.length === known.problems.length)
      return;
    const said = new Set(read.resources.map(({ origin }) => resourceKey(origin)));
    const kept = read.problems.length === 0 ? [] : (known?.resources ?? []);
    this.#files.set(path, {
      text: read.text,
      problems: read.problems,
      resources: [...read.resources, ...kept.filter(({ origin }) => !said.has(resourceKey(origin)))],
    });
  }

  #putInForce(resources: readonly Resource[]): boolean {
    const wanted = new Map(resources.map((resource) => [resourceKey(resource.origin), resource]));
    let hasChanged = false;
    for (const key of [...this.#inForce.keys()].filter((one) => !wanted.has(one))) {
      this.#inForce.delete(key);
      this.#options.sink.remove(key);
      hasChanged = true;
    }
    for (const [key, resource] of wanted) {
      if (this.#inForce.get(key) === resource) continue;
      this.#inForce.set(key, resource);
      this.#options.sink.put(resource);
      hasChanged = true;
    }
    return hasChanged;
  }

  #tell(problems: readonly FabricError[]): void {
    const messages = new Set(problems.map(({ message }) => message));
    for (const message of this.#told) if (!messages.has(message)) this.#told.delete(message);
    for (const problem of problems) {
      if (this.#told.has(problem.message)) continue;
      this.#told.add(problem.message);
      this.#options.onProblem(problem);
    }
  }
}
