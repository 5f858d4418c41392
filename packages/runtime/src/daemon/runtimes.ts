import { mkdirSync } from 'node:fs';
import { detectCgroups } from '@amphipod/linux';
import type { DaemonConfig } from '../config.ts';
import { CriError } from '../errors.ts';
import { findProgram, type OciRuntime, type OciRuntimes } from '../oci/runtimes.ts';

/** In order of preference: crun starts a container in a fraction of runc's time. */
const known = ['crun', 'runc'];

/**
 * The OCI runtimes of this machine. The default is the one that the configuration names, else the first that works
 * here: crun refuses machines whose controllers are on cgroup v1 beside a mounted v2 (hybrid).
 * @throws CriError failed-precondition when there is none
 */
export function findRuntimes(config: DaemonConfig, path: string): OciRuntimes {
  const found = known.flatMap((name): OciRuntime[] => {
    const program = findProgram(name, path);
    return program === undefined ? [] : [{ name, path: program, root: `${config.state}/oci/${name}` }];
  });
  const usable = found.filter(({ name }) => name !== 'crun' || detectCgroups().version === 2);
  const chosen = config.runtime === '' ? usable[0] : found.find(({ name }) => name === config.runtime);
  if (chosen === undefined) {
    const wanted = config.runtime === '' ? 'runc or crun' : config.runtime;
    throw new CriError(
      'failed-precondition',
      `find OCI runtime: ${wanted} is not installed or does not work here`,
    );
  }
  for (const { root } of found) mkdirSync(root, { recursive: true, mode: 0o711 });
  return { default: chosen, byName: new Map(found.map((runtime) => [runtime.name, runtime])) };
}
