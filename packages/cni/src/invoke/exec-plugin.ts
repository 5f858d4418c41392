import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { CniError } from '../errors.ts';
import { isJsonObject, parseJson } from '../json.ts';

export interface ExecOptions {
  /** The CNI_* variables. */
  variables: Record<string, string>;
  /** The rest of the environment; default: this process's own. */
  env?: NodeJS.ProcessEnv | undefined;
  stdin: string;
  signal: AbortSignal;
  /** Gives the plugin a process group of its own, which is killed as a whole. Not for delegates: they die with their caller. */
  ownGroup: boolean;
}

const TEXT_BUSY_TRIES = 5;
const TEXT_BUSY_WAIT_MS = 1000;
/** How long a child that the plugin left behind may hold its output open. */
const LINGER_MS = 500;
const OUTPUT_LIMIT_BYTES = 8 << 20;

/** Runs a plugin as the specification says; resolves to its stdout. @throws CniError from its stdout or stderr; the signal's reason */
export async function execPlugin(file: string, options: ExecOptions): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    options.signal.throwIfAborted();
    try {
      return await execOnce(file, options);
    } catch (error) {
      // Somebody writes the file right now: an upgrade of the plugin.
      if ((error as NodeJS.ErrnoException).code !== 'ETXTBSY' || attempt > TEXT_BUSY_TRIES) throw error;
      await sleep(TEXT_BUSY_WAIT_MS, undefined, { signal: options.signal });
    }
  }
}

function execOnce(file: string, { variables, env, stdin, signal, ownGroup }: ExecOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, [], {
      env: { ...(env ?? process.env), ...variables },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: ownGroup,
    });
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    const kill = () => killChild(child, ownGroup);
    signal.addEventListener('abort', kill, { once: true });
    let linger: NodeJS.Timeout | undefined;
    const finish = (act: () => void) => {
      signal.removeEventListener('abort', kill);
      clearTimeout(linger);
      act();
    };
    child.once('error', (error: NodeJS.ErrnoException) => {
      const text = `fork/exec ${file}: ${error.message}`;
      finish(() =>
        reject(error.code === 'ETXTBSY' ? error : new CniError('internal', text, { cause: error })),
      );
    });
    child.once('exit', () => {
      linger = setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      }, LINGER_MS);
    });
    child.once('close', (code, killedBy) => {
      finish(() => {
        if (signal.aborted) reject(signal.reason);
        else if (code === 0) resolve(stdout());
        else reject(failureOf(stdout(), stderr(), killedBy ?? `exit status ${code}`));
      });
    });
    // A plugin that does not read its stdin is its own affair.
    child.stdin.on('error', () => {});
    child.stdin.end(stdin);
  });
}

function killChild(child: ChildProcess, ownGroup: boolean): void {
  if (child.pid === undefined) return;
  try {
    process.kill(ownGroup ? -child.pid : child.pid, 'SIGKILL');
  } catch {
    // It is gone.
  }
}

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= OUTPUT_LIMIT_BYTES) chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString();
}

/** What the plugin said about its failure: an error object on stdout, or else its stderr. */
function failureOf(stdout: string, stderr: string, ending: string): CniError {
  let object: unknown;
  try {
    object = parseJson(stdout);
  } catch {
    object = undefined;
  }
  if (isJsonObject(object) && typeof object.msg === 'string') {
    const { code, msg, details } = object;
    return new CniError(typeof code === 'number' ? code : 'internal', msg, {
      details: typeof details === 'string' ? details : '',
    });
  }
  const words = stderr.trim() || stdout.trim();
  if (words !== '') return new CniError('internal', `netplugin failed: ${words}`);
  return new CniError('internal', `netplugin failed with no error message: ${ending}`);
}
