import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { run, startProgram } from '../cri/support/program.ts';
import { eventually } from '../cri/support/wait.ts';

/** Debian's containerd for its images alone, without CRI. */
export interface ImageContainerd extends AsyncDisposable {
  /** Where it keeps everything. */
  root: string;
  /** Runs `ctr`. @returns what it printed @throws Error with the program's words */
  ctr(...args: string[]): Promise<string>;
}

/** Starts one with everything of it below `dir`. */
export async function startImageContainerd(dir: string): Promise<ImageContainerd> {
  const socket = `${dir}/containerd.sock`;
  mkdirSync(`${dir}/plugins`, { recursive: true });
  writeFileSync(
    `${dir}/config.toml`,
    `version = 2
root = "${dir}/root"
state = "${dir}/state"
plugin_dir = "${dir}/plugins"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "${socket}"
[ttrpc]
  address = "${socket}.ttrpc"
`,
  );
  const program = await startProgram(
    ['containerd', '--config', `${dir}/config.toml`],
    `${dir}/containerd.log`,
  );
  const ctr = (...args: string[]) => run(['ctr', '--address', socket, ...args]);
  await eventually('containerd', async () => existsSync(socket) && (await ctr('version')));
  return { root: `${dir}/root`, ctr, [Symbol.asyncDispose]: () => program.end() };
}
