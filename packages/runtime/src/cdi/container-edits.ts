import { CriError } from '../errors.ts';
import type { ContainerConfig } from '../gen/api.ts';
import { readCdiDevices } from './read-specs.ts';
import type { ContainerEdits } from './spec.ts';

/** Annotations of containers that name devices, for kubelets without the field: `cdi.k8s.io/ANYTHING: NAME,NAME`. */
const annotationPrefix = 'cdi.k8s.io/';

/**
 * What the CDI devices that a container asks for change about it, in the order to be applied; empty when it asks for none.
 * @throws CriError invalid-argument for a name that is none, failed-precondition for devices that no spec file has
 */
export async function cdiEdits(config: ContainerConfig, dirs: readonly string[]): Promise<ContainerEdits[]> {
  const names = requestedDevices(config);
  if (names.length === 0) return [];
  const { byName, problems } = await readCdiDevices(dirs);
  const missing = names.filter((name) => !byName.has(name));
  if (missing.length > 0) {
    const text = `find CDI devices ${missing.join(', ')}: not in ${dirs.join(', ')}`;
    throw new CriError('failed-precondition', [text, ...problems].join('; '));
  }
  const found = names.map((name) => byName.get(name)!);
  return [...new Set(found.map(({ common }) => common)), ...found.map(({ edits }) => edits)];
}

function requestedDevices({ CDIDevices, annotations }: ContainerConfig): string[] {
  const named = Object.entries(annotations)
    .filter(([key]) => key.startsWith(annotationPrefix))
    .flatMap(([, value]) => value.split(','));
  const names = [...new Set([...CDIDevices.map(({ name }) => name), ...named])];
  const bad = names.find((name) => !/^[^/=\s]+\/[^/=\s]+=[^/=\s]+$/.test(name));
  if (bad === undefined) return names;
  throw new CriError('invalid-argument', `CDI device ${JSON.stringify(bad)}: must be VENDOR/CLASS=NAME`);
}
