import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { killQuietly } from '@amphipod/linux';
import { connect } from './client.ts';
import { unmountBelow } from './containerd.ts';
import { bridgeConflist, testNetwork } from './network.ts';
import { type Program, run, startProgram } from './program.ts';
import { type CriServer, removeAllPods, type ServerOptions, waitUntilServing } from './server.ts';

/** Root of the source tree. */
export const projectDir = new URL('../../..', import.meta.url).pathname.replace(/\/$/, '');

/** AMPHIPOD_TEST_BUILT=1 takes what `npm run build` made instead of the sources. */
const built = process.env.AMPHIPOD_TEST_BUILT === '1';
const programDir = built ? `${projectDir}/dist` : projectDir;

/** AMPHIPOD_TEST_RUNTIME=crun runs the suites with another OCI runtime. */
export const ociRuntime = process.env.AMPHIPOD_TEST_RUNTIME ?? 'runc';

/** The plugin executables of this project. */
export const ownPluginDir = `${programDir}/packages/plugins/bin`;
/** The plugins of Debian's package containernetworking-plugins. */
export const referencePluginDir = '/usr/lib/cni';

/** AMPHIPOD_TEST_CNI_BIN=/usr/lib/cni runs the suites with other plugins. */
const defaultPluginDirs = (process.env.AMPHIPOD_TEST_CNI_BIN ?? ownPluginDir).split(',');

/** Starts `amphipod up` with every directory below `dir`. */
export async function startAmphipod(options: ServerOptions): Promise<CriServer> {
  const { dir, cniBinDirs = defaultPluginDirs, nodeFlags = [], flags = [], wrapper = [] } = options;
  const socket = `${dir}/amphipod.sock`;
  const confDir = `${dir}/net.d`;
  mkdirSync(confDir, { recursive: true });
  const configs = options.cniConfigs ?? {
    '10-test.conflist': bridgeConflist(testNetwork(2), `${dir}/ipam`),
  };
  for (const [name, text] of Object.entries(configs)) writeFileSync(`${confDir}/${name}`, text);
  const command = [
    ...wrapper,
    ...[...launcher(nodeFlags), 'up'],
    ...['--root', `${dir}/root`, '--state', `${dir}/state`, '--socket', socket],
    ...[
      '--cni-conf-dir',
      confDir,
      '--cni-bin-dir',
      cniBinDirs.join(','),
      '--cni-cache-dir',
      `${dir}/cni-cache`,
    ],
    ...['--runtime', ociRuntime, ...flags],
  ];
  let program: Program;
  const server: CriServer = {
    name: 'amphipod',
    dir,
    socket,
    confDir,
    ociRoot: `${dir}/state/oci/${ociRuntime}`,
    command,
    cri: connect(socket),
    program: () => program,
    kill: (signal = 'SIGKILL') => program.end(signal),
    async start() {
      program = await startProgram(command, `${dir}/amphipod.log`, {
        env: { ...process.env, ...options.env },
      });
      await waitUntilServing(socket, program);
    },
    async loadImage(layoutDir, name) {
      const archive = `${dir}/load.tar`;
      await run(['tar', '-C', layoutDir, '-cf', archive, '.']);
      await server.cri.pullImage({ image: { image: `oci-archive:${archive}:${name}` } });
    },
    async [Symbol.asyncDispose]() {
      await removeAllPods(server.cri).catch((error) => process.stderr.write(`${error}\n`));
      server.cri[Symbol.dispose]();
      await program.end();
      for (const pid of processesNaming(`${dir}/`)) killQuietly(pid, 'SIGKILL');
      unmountBelow(dir);
    },
  };
  await server.start();
  return server;
}

/** The launcher that users start or, when Node.js itself is to get flags, what the launcher starts. */
function launcher(nodeFlags: readonly string[]): string[] {
  if (nodeFlags.length === 0) return [`${programDir}/bin/amphipod`];
  const mainFile = `${programDir}/packages/runtime/src/main.${built ? 'mjs' : 'ts'}`;
  return [`${projectDir}/bin/node24`, ...nodeFlags, mainFile];
}

/** Pids of the programs with `text` in their command line: the conmon and runc processes of one daemon. */
export function processesNaming(text: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map(Number)
    .filter((pid) => {
      try {
        const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        return (
          /\/?(conmon|runc|crun|catatonit|node)$/.test(argv[0]!) && argv.some((arg) => arg.includes(text))
        );
      } catch {
        return false;
      }
    });
}
