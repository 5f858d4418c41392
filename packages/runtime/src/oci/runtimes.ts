import { accessSync, constants } from 'node:fs';
import { CriError } from '../errors.ts';

/** An OCI runtime that pods can name as their runtime handler. */
export interface OciRuntime {
  /** Handler name: "runc", "crun". */
  name: string;
  /** Absolute path of the program. */
  path: string;
  /** Its state directory, `--root`; one for each runtime of each daemon. */
  root: string;
}

/** The runtime handlers of this daemon; the empty name is the default one. */
export interface OciRuntimes {
  default: OciRuntime;
  byName: ReadonlyMap<string, OciRuntime>;
}

/** @throws CriError invalid-argument that names the handler and lists the known ones */
export function runtimeFor(runtimes: OciRuntimes, handler: string): OciRuntime {
  const found = handler === '' ? runtimes.default : runtimes.byName.get(handler);
  if (found !== undefined) return found;
  const known = [...runtimes.byName.keys()].map((name) => `"${name}"`).join(', ');
  throw new CriError(
    'invalid-argument',
    `find runtime handler ${JSON.stringify(handler)}: unknown; known are ${known}`,
  );
}

/** The first directory of `path` that holds an executable `program`, joined; undefined when none does. */
export function findProgram(program: string, path: string): string | undefined {
  const candidates = program.includes('/') ? [program] : path.split(':').map((dir) => `${dir}/${program}`);
  return candidates.find((candidate) => {
    try {
      accessSync(candidate, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
