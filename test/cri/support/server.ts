import { existsSync } from 'node:fs';
import { type Cri, connect } from './client.ts';
import { logTail, type Program } from './program.ts';
import { eventually, patient } from './wait.ts';

/** Where a CRI server keeps things and what it uses; everything private to one test file. */
export interface ServerOptions {
  /** An existing directory on a real disk (overlay needs one). */
  dir: string;
  /** Directories with CNI plugins. Default: the reference plugins. */
  cniBinDirs?: string[];
  /** CNI configuration: file name to contents. Default: bridge, host-local and portmap on a bridge of its own. */
  cniConfigs?: Record<string, string>;
  /** Environment on top of ours. */
  env?: Record<string, string>;
  /** Our daemon only: more flags of `amphipod up`, and of Node.js. */
  flags?: string[];
  nodeFlags?: string[];
  /** Words that the command line of our daemon begins with; they end in executing it. */
  wrapper?: string[];
}

/** A running CRI server. */
export interface CriServer extends AsyncDisposable {
  readonly name: 'amphipod' | 'containerd';
  readonly dir: string;
  readonly socket: string;
  readonly confDir: string;
  readonly cri: Cri;
  /** Root of the OCI runtime's state (`runc --root`). */
  readonly ociRoot: string;
  /** Program and arguments of the server. */
  readonly command: string[];
  /** The process behind the socket; changes with `restart`. */
  program(): Program;
  /** Ends the server only, with SIGKILL by default: its containers go on. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same directories. */
  start(): Promise<void>;
  /** Makes an image of an OCI layout directory known to the server under `name`. */
  loadImage(layoutDir: string, name: string): Promise<void>;
  /** Stops every pod, ends the server and everything it started, and removes their cgroups and mounts. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Waits until a server answers; its log is in the error when it does not. */
export async function waitUntilServing(socket: string, program: Program, timeoutMs = 20_000): Promise<void> {
  using cri = connect(socket);
  try {
    await eventually(
      `an answer on ${socket}`,
      async () => {
        const status = program.exitStatus();
        if (status !== undefined) return status;
        if (!existsSync(socket)) return undefined;
        await cri.version({}, { timeoutMs: patient(2000) });
        return 'serving';
      },
      { timeoutMs, everyMs: 10 },
    ).then((state) => {
      if (state !== 'serving') throw new Error(`the server ended with ${state}`);
    });
  } catch (cause) {
    await program.end('SIGKILL');
    throw new Error(`start the server: log says\n${logTail(program)}`, { cause });
  }
}

/** Removes every pod of a server, so that nothing of it is left running. */
export async function removeAllPods(cri: Cri): Promise<void> {
  const { items } = await cri.listPodSandbox();
  for (const { id } of items) {
    await cri.stopPodSandbox({ podSandboxId: id });
    await cri.removePodSandbox({ podSandboxId: id });
  }
}
