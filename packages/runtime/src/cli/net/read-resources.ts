import { readFileSync } from 'node:fs';
import { type KindName, type Resources, readDocuments } from '@amphipod/fabric';
import { CliError } from '../errors.ts';

/** The option that names the files; `-` is the standard input. */
export const fileOption = {
  filename: {
    type: 'string',
    short: 'f',
    multiple: true,
    value: 'FILE',
    help: 'YAML or JSON; "-" is the standard input',
  },
} as const;

/**
 * Reads all resources of some files.
 * @throws CliError that tells everything that is wrong, so that nothing is begun that cannot be finished
 */
export function readResources(files: readonly string[]): Resources[KindName][] {
  const read = files.flatMap((file) => {
    const name = file === '-' ? 'standard input' : file;
    return readDocuments(readText(file, name), name);
  });
  const problems = read.flatMap((one) => ('error' in one ? [one.error.message] : []));
  if (problems.length > 0) throw new CliError(`nothing is changed\n${problems.join('\n')}`);
  return read.flatMap((one) => ('resource' in one ? [one.resource] : []));
}

function readText(file: string, name: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new CliError(`read ${JSON.stringify(name)}: ${(error as Error).message}`, { cause: error });
  }
}
