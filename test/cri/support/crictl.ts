import { accessSync, constants, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { runAny } from './program.ts';
import type { CriServer } from './server.ts';

/** The crictl that scripts/setup.sh installed, or the one on PATH; undefined when there is none. */
export function findCrictl(): string | undefined {
  const cache = process.env.XDG_CACHE_HOME ?? `${homedir()}/.cache`;
  const candidates = [
    `${cache}/amphipod/bin/crictl`,
    ...(process.env.PATH ?? '').split(':').map((dir) => `${dir}/crictl`),
  ];
  return candidates.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Why tests with crictl cannot run here; false when they can. */
export const lacksCrictl =
  findCrictl() === undefined && 'crictl is not installed: scripts/setup.sh test builds it where Go is';

export interface Crictl {
  /** Runs crictl and returns what it prints. @throws Error when it fails */
  (...args: string[]): Promise<string>;
  /** Runs crictl with `-o json` and parses the answer. */
  json<T = Record<string, never>>(command: string, ...args: string[]): Promise<T>;
  /** Runs a crictl that is expected to fail; returns what it says. @throws Error when it succeeds */
  failing(...args: string[]): Promise<string>;
}

/** crictl, unmodified, against one server. */
export function crictlFor(program: string, server: CriServer): Crictl {
  const configFile = `${server.dir}/crictl.yaml`;
  writeFileSync(configFile, `runtime-endpoint: unix://${server.socket}\ntimeout: 30\n`);
  const call = (args: string[]) => runAny([program, '--config', configFile, ...args]);
  const crictl = async (...args: string[]) => {
    const { code, stdout, stderr } = await call(args);
    if (code !== 0) throw new Error(`crictl ${args.join(' ')}: exit ${code}: ${stderr}`);
    return stdout;
  };
  return Object.assign(crictl, {
    json: async <T>(command: string, ...args: string[]) =>
      JSON.parse(await crictl(command, '-o', 'json', ...args)) as T,
    failing: async (...args: string[]) => {
      const { code, stdout, stderr } = await call(args);
      if (code === 0) throw new Error(`crictl ${args.join(' ')}: succeeded: ${stdout}`);
      return stderr;
    },
  });
}
