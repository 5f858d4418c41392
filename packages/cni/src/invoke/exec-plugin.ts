import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { getSystemErrorMessage } from 'node:util';
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
  /** Gets what the plugin wrote to stderr, whether it succeeded or not. */
  onStderr?: ((text: string) => void) | undefined;
}

const TEXT_BUSY_TRIES = 5;
const TEXT_BUSY_WAIT_MS = 1000;
/** How long a child that the plugin left behind may hold its output open. */
const LINGER_MS = 500;
const OUTPUT_LIMIT_BYTES = 8 << 20;
/** Of a plugin's words in a message. */
const QUOTE_LIMIT = 4096;

/** Runs a plugin as the specification says; resolves to its stdout. @throws CniError from its stdout or stderr; the signal's reason */
export async function execPlugin(file: string, options: ExecOptions): Promise<string> {
  for (let attempt = 0; ; attempt++) {
    options.signal.throwIfAborted();
    try {
      return await execOnce(file, options);
    } catch (error) {
      // Somebody writes the file right now: an upgrade of the plugin.
      const isBusy = error instanceof CniError && (error.cause as NodeJS.ErrnoException)?.code === 'ETXTBSY';
      if (!isBusy || attempt >= TEXT_BUSY_TRIES) throw error;
      await sleep(TEXT_BUSY_WAIT_MS, undefined, { signal: options.signal });
    }
  }
}

function execOnce(file: string, options: ExecOptions): Promise<string> {
  const { stdin, signal, ownGroup, onStderr } = options;
  return new Promise((resolve, reject) => {
    const child = start(file, options);
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
    child.once('error', (error) => finish(() => reject(startFailure(file, error))));
    child.once('exit', () => {
      linger = setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      }, LINGER_MS);
    });
    child.once('close', (code, killedBy) => {
      finish(() => {
        if (stderr.text() !== '') onStderr?.(stderr.text());
        if (signal.aborted) reject(signal.reason);
        else if (code !== 0) {
          const ending = killedBy === null ? `exit status ${code}` : `signal: ${killedBy}`;
          reject(failureOf(stdout.text(), stderr.text(), ending));
        } else if (stdout.isCut()) {
          reject(new CniError('io-failure', `netplugin wrote more than ${OUTPUT_LIMIT_BYTES} bytes`));
        } else resolve(stdout.text());
      });
    });
    // A plugin that does not read its stdin is its own affair.
    child.stdin.on('error', () => {});
    child.stdin.end(stdin);
  });
}

/** spawn throws some failures and emits others. */
function start(
  file: string,
  { variables, env, ownGroup }: Pick<ExecOptions, 'variables' | 'env' | 'ownGroup'>,
): ChildProcessWithoutNullStreams {
  try {
    return spawn(file, [], {
      env: { ...(env ?? process.env), ...variables },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: ownGroup,
    });
  } catch (error) {
    throw startFailure(file, error as NodeJS.ErrnoException);
  }
}

function killChild(child: ChildProcess, ownGroup: boolean): void {
  if (child.pid === undefined) return;
  try {
    process.kill(ownGroup ? -child.pid : child.pid, 'SIGKILL');
  } catch {
    // It is gone.
  }
}

function collect(stream: NodeJS.ReadableStream): { text(): string; isCut(): boolean } {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= OUTPUT_LIMIT_BYTES) chunks.push(chunk);
  });
  return { text: () => Buffer.concat(chunks).toString(), isCut: () => size > OUTPUT_LIMIT_BYTES };
}

/** The file could not be executed at all, in libcni's words. */
function startFailure(file: string, error: NodeJS.ErrnoException): CniError {
  const why = error.errno === undefined ? error.message : getSystemErrorMessage(error.errno);
  const text = `fork/exec ${file}: ${why}`;
  return new CniError('internal', `netplugin failed with no error message: ${text}`, { cause: error });
}

/** What the plugin said about its failure: an error object on stdout, or else its stderr. Words of libcni. */
function failureOf(stdout: string, stderr: string, ending: string): CniError {
  const complaint = stderr.trim().slice(0, QUOTE_LIMIT);
  if (stdout.trim() === '') {
    const text = complaint === '' ? ` with no error message: ${ending}` : `: ${complaint}`;
    return new CniError('internal', `netplugin failed${text}`);
  }
  let why = 'it has no "msg"';
  try {
    const object = parseJson(stdout);
    if (isJsonObject(object) && typeof object.msg === 'string') {
      const { code, msg, details } = object;
      return new CniError(Number.isSafeInteger(code) ? (code as number) : 'internal', msg, {
        details: typeof details === 'string' ? details : '',
      });
    }
  } catch (error) {
    why = (error as Error).message.replaceAll(/\s+/g, ' ');
  }
  const quote = JSON.stringify(stdout.slice(0, QUOTE_LIMIT));
  return new CniError(
    'internal',
    `netplugin failed but error parsing its diagnostic message ${quote}: ${why}`,
    { details: complaint },
  );
}
