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
  /** Options before the command, from the configuration. */
  options: readonly string[];
  features: RuntimeFeatures;
  /** Why it cannot run on this machine; undefined when it can. */
  problem?: string | undefined;
}

/** What a runtime handler can; Status tells the most of it. */
export interface RuntimeFeatures {
  recursiveReadOnlyMounts: boolean;
  /** `problem`: why a pod with a user namespace cannot run with it; undefined when it can. */
  userNamespaces: { problem?: string };
  /** It gives the standard streams to the user of the process also where one is a device, the node's /dev/null for one. */
  chownsDevices: boolean;
}

/** The arguments of every call of the runtime. */
export function globalArgs({ root, options }: OciRuntime): string[] {
  return [...options, '--root', root];
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

/** As {@link runtimeFor} for a new pod. @throws CriError failed-precondition for one that cannot run here */
export function usableRuntime(runtimes: OciRuntimes, handler: string): OciRuntime {
  const runtime = runtimeFor(runtimes, handler);
  if (runtime.problem === undefined) return runtime;
  throw new CriError('failed-precondition', `runtime handler ${JSON.stringify(handler)}: ${runtime.problem}`);
}

/** Where programs are looked for that the daemon's own PATH, which may be a user's, does not have. */
const systemPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The first directory of PATH and the system's that holds an executable `program`, joined; undefined when none does. */
export function findProgram(program: string): string | undefined {
  const path = `${process.env.PATH ?? ''}:${systemPath}`;
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
