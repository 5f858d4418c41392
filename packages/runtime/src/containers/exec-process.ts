import { readFileSync } from 'node:fs';
import type { OciProcess, OciSpec } from '../oci/spec.ts';

/** A command for a running container. */
export interface ExecRequest {
  cmd: string[];
  tty: boolean;
}

/** As the container's own process, but for the command and its terminal. @param specFile the bundle's config.json */
export function execProcess(specFile: string, { cmd, tty }: ExecRequest): OciProcess {
  const { process } = JSON.parse(readFileSync(specFile, 'utf8')) as OciSpec;
  const hasTerm = process.env.some((entry) => entry.startsWith('TERM='));
  const env = tty && !hasTerm ? [...process.env, 'TERM=xterm'] : process.env;
  return { ...process, args: cmd, terminal: tty, env };
}
