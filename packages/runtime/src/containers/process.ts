import { normalize } from 'node:path/posix';
import type { OciImageConfig } from '@amphipod/images';
import { CriError } from '../errors.ts';
import type { ContainerConfig } from '../gen/api.ts';

const defaultPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * The command line. `command` replaces ENTRYPOINT and, when there are no args, drops CMD; `args` replaces CMD.
 * @throws CriError invalid-argument when nothing says what to run
 */
export function processArgs(config: ContainerConfig, image: OciImageConfig): string[] {
  const entrypoint = config.command.length > 0 ? config.command : (image.Entrypoint ?? []);
  const takesImageArgs = config.command.length === 0 && config.args.length === 0;
  const args = [...entrypoint, ...(takesImageArgs ? (image.Cmd ?? []) : config.args)];
  if (args.length === 0) {
    throw new CriError('invalid-argument', 'no command: neither the container nor its image names one');
  }
  return args;
}

/** What the environment of a process has unless image or pod say otherwise. */
export interface EnvDefaults {
  hostname: string;
  /** The user's home; set here and not by the OCI runtime, so that every runtime and exec agree (USR-06). */
  home: string;
  /** `NAME=VALUE`: which devices the pod's networks have. */
  devices?: readonly string[];
}

/** Environment: the image's, then what the container sets, one entry for each name. */
export function processEnv(
  config: ContainerConfig,
  image: OciImageConfig,
  { hostname, home, devices = [] }: EnvDefaults,
): string[] {
  const env = new Map<string, string>();
  const set = (entry: string) => env.set(entry.split('=', 1)[0]!, entry);
  const terminal = config.tty ? ['TERM=xterm'] : [];
  for (const entry of [defaultPath, `HOME=${home}`, `HOSTNAME=${hostname}`, ...terminal, ...devices])
    set(entry);
  for (const entry of image.Env ?? []) set(entry);
  for (const { key, value } of config.envs) set(`${key}=${Buffer.from(value).toString('utf8')}`);
  return [...env.values()];
}

/**
 * The working directory: the pod's, else the image's, else "/". The OCI runtime makes a missing one, owned by root.
 * @throws CriError invalid-argument for a relative one, and for one that leads to an open descriptor: such a directory
 * may be outside the container (field case USR-07)
 */
export function workingDirectory(config: ContainerConfig, image: OciImageConfig): string {
  const wanted = config.workingDir || image.WorkingDir || '/';
  const refuse = (why: string) =>
    new CriError('invalid-argument', `working_dir ${JSON.stringify(wanted)}: ${why}`);
  if (!wanted.startsWith('/')) throw refuse('must be absolute');
  if (/^\/proc\/[^/]+\/(task\/[^/]+\/)?(fd|cwd|root)(\/|$)/.test(normalize(wanted)))
    throw refuse('leads out of the container');
  return wanted;
}
