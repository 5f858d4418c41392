import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { listDir } from '../list-dir.ts';
import { type CdiSpec, type ContainerEdits, checkCdiSpec } from './spec.ts';

/** The devices of the spec files of this machine. */
export interface CdiDevices {
  /** By qualified name, `vendor/class=name`: what the device changes, and what its file changes besides. */
  byName: ReadonlyMap<string, { edits: ContainerEdits; common: ContainerEdits }>;
  /** What is wrong with files that could not be used, each with its path; and names given twice in one directory. */
  problems: readonly string[];
}

/**
 * Reads all `.json` and `.yaml` files of these directories, now: device plugins write them at any time, and only containers
 * that ask for such devices pay for it.
 * @param dirs later ones win, as /var/run/cdi over /etc/cdi; a missing one is fine
 */
export async function readCdiDevices(dirs: readonly string[]): Promise<CdiDevices> {
  const byName = new Map<string, { edits: ContainerEdits; common: ContainerEdits }>();
  const problems: string[] = [];
  for (const dir of dirs) {
    const ofDir = new Map<string, string>();
    for (const file of specFiles(dir)) {
      try {
        const { kind, devices, containerEdits: common = {} } = await readSpec(file);
        for (const { name, containerEdits: edits = {} } of devices) {
          const qualified = `${kind}=${name}`;
          const first = ofDir.get(qualified);
          if (first === undefined) byName.set(qualified, { edits, common });
          else {
            problems.push(`${qualified} is in ${first} and ${file}`);
            byName.delete(qualified);
          }
          ofDir.set(qualified, file);
        }
      } catch (error) {
        problems.push(`${file}: ${(error as Error).message}`);
      }
    }
  }
  return { byName, problems };
}

function specFiles(dir: string): string[] {
  const names = listDir(dir).filter((name) => /\.(json|yaml)$/.test(name));
  return names.toSorted().map((name) => join(dir, name));
}

async function readSpec(file: string): Promise<CdiSpec> {
  const text = readFileSync(file, 'utf8');
  if (file.endsWith('.json')) return checkCdiSpec(JSON.parse(text));
  const { parseYaml } = await import('./parse-yaml.ts');
  return checkCdiSpec(parseYaml(text));
}
