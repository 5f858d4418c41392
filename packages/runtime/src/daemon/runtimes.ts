import { mkdirSync } from 'node:fs';
import { release } from 'node:os';
import { type CgroupLayout, detectCgroups } from '@amphipod/linux';
import type { DaemonConfig, RuntimeConfig } from '../config.ts';
import { CriError } from '../errors.ts';
import { findProgram, type OciRuntime, type OciRuntimes } from '../oci/runtimes.ts';
import { runtimeFeatures } from './runtime-features.ts';

/** In order of preference: crun starts a container in a fraction of runc's time. */
const known = ['crun', 'runc'];

/**
 * The OCI runtimes of this machine and of the configuration. The default is the one that the configuration names, else the
 * first of crun and runc that works here.
 * @throws CriError failed-precondition when there is none
 */
export async function findRuntimes(config: DaemonConfig): Promise<OciRuntimes> {
  const onPath = known.flatMap((name): [string, RuntimeConfig][] => {
    const program = findProgram(name);
    return program === undefined ? [] : [[name, { path: program }]];
  });
  const programs = new Map([...onPath, ...Object.entries(config.runtimes)]);
  const cgroups = detectCgroups();
  const found = await Promise.all(
    [...programs].map(async ([name, { path: program, options = [] }]): Promise<OciRuntime> => {
      const features = await runtimeFeatures({ name, program }, release());
      const problem = problemOf(name, program, cgroups);
      return { name, path: program, options, root: `${config.state}/oci/${name}`, features, problem };
    }),
  );
  const byName = new Map(found.map((runtime) => [runtime.name, runtime]));
  const chosen =
    config.runtime === ''
      ? known.map((name) => byName.get(name)).find((runtime) => runtime && runtime.problem === undefined)
      : byName.get(config.runtime);
  if (chosen === undefined || chosen.problem !== undefined) {
    const wanted = config.runtime === '' ? 'runc or crun' : config.runtime;
    const why = chosen?.problem ?? `${wanted} is not installed or does not work here`;
    throw new CriError('failed-precondition', `find OCI runtime: ${why}`);
  }
  for (const { root } of found) mkdirSync(root, { recursive: true, mode: 0o711 });
  return { default: chosen, byName };
}

function problemOf(name: string, program: string, cgroups: CgroupLayout): string | undefined {
  if (findProgram(program) === undefined) return `${program} is not there, or not executable`;
  // Of its get_cgroup_mode: it knows version 1 alone and version 2 alone.
  if (name === 'crun' && cgroups.version === 1 && cgroups.mounts.has('unified'))
    return 'crun does not run on a machine with cgroup versions 1 and 2 mounted side by side';
  return undefined;
}
