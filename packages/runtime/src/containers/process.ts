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

/** Environment: the image's, then what the container sets, one entry for each name. */
export function processEnv(config: ContainerConfig, image: OciImageConfig, hostname: string): string[] {
  const env = new Map<string, string>();
  const set = (entry: string) => env.set(entry.split('=', 1)[0]!, entry);
  for (const entry of [defaultPath, `HOSTNAME=${hostname}`, ...(config.tty ? ['TERM=xterm'] : [])])
    set(entry);
  for (const entry of image.Env ?? []) set(entry);
  for (const { key, value } of config.envs) set(`${key}=${Buffer.from(value).toString('utf8')}`);
  return [...env.values()];
}
