import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isCode, replaceFile } from '@amphipod/linux';
import { FabricError } from '../errors.ts';
import { askBird, type BirdLine, untilBirdGone } from './bird-control.ts';
import { sessionsOf } from './render-bird.ts';

const START_TRIES = 200;
const START_PAUSE_MS = 25;
/** A BIRD that lived so long begins with the shortest wait again. */
const STABLE_MS = 10_000;
const MAX_BACKOFF_MS = 10_000;
const FIRST_BACKOFF_MS = 100;
/** The configuration has passwords in it. */
const PRIVATE = 0o600;

export interface BirdOptions {
  /** Directory for BIRD's configuration, control socket and process id: on a file system that a reboot empties. */
  stateDir: string;
  /** How BIRD is started: `['bird']`, with more words in front to start it elsewhere. */
  command: readonly string[];
  /** Whether the kernel has routes that a BIRD before wrote, and that are to stay until the new one knows better. */
  hasRoutes: () => boolean;
  /** Told of what happens to BIRD, a line each. */
  onEvent: (message: string) => void;
}

/**
 * The BIRD of this node. It is no part of the agent: it goes on when the agent ends, and an agent that finds one running takes it as
 * its own.
 */
export class BirdProcess implements AsyncDisposable {
  readonly #options: BirdOptions;
  readonly #stop = new AbortController();
  #text: string | undefined;
  #watching: Promise<void> | undefined;
  #work: Promise<unknown> = Promise.resolve();

  constructor(options: BirdOptions) {
    mkdirSync(options.stateDir, { recursive: true, mode: 0o700 });
    this.#options = options;
  }

  get socketPath(): string {
    return join(this.#options.stateDir, 'bird.ctl');
  }

  /** Where BIRD writes its log. */
  get logPath(): string {
    return join(this.#options.stateDir, 'bird.log');
  }

  get #configPath(): string {
    return join(this.#options.stateDir, 'bird.conf');
  }

  /** Ends the watch over BIRD; BIRD itself goes on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#work.catch(() => {});
    await this.#watching;
  }

  /** @throws as {@link askBird} */
  ask(command: string): Promise<BirdLine[]> {
    return askBird(command, { socketPath: this.socketPath, signal: this.#stop.signal });
  }

  /**
   * Has BIRD go by a configuration: starts it, or tells a running one, whoever started it. Sessions that did not change are not
   * touched. Where most of them have to begin anew (a new password of the mesh), BIRD is restarted instead, so that peers keep the
   * routes meanwhile.
   * @throws FabricError `bird-error` for a configuration that BIRD refuses: it goes on with the one before
   */
  apply(text: string): Promise<void> {
    const done = this.#work.catch(() => {}).then(() => this.#apply(text));
    this.#work = done;
    return done;
  }

  async #apply(text: string): Promise<void> {
    this.#stop.signal.throwIfAborted();
    const before = this.#text ?? readText(this.#configPath);
    const isRunning = await this.#isRunning();
    if (isRunning && this.#watching === undefined) this.#options.onEvent('a running bird is taken over');
    if (isRunning && before === text) this.#text = text;
    else if (isRunning) await this.#change(before ?? '', text);
    else {
      replaceFile(this.#configPath, text, { mode: PRIVATE });
      this.#text = text;
      await this.#start();
    }
    this.#watching ??= this.#watch();
  }

  async #change(before: string, text: string): Promise<void> {
    const next = `${this.#configPath}.new`;
    replaceFile(next, text, { mode: PRIVATE });
    await this.ask(`configure check "${next}"`);
    replaceFile(this.#configPath, text, { mode: PRIVATE });
    this.#text = text;
    const [old, now] = [sessionsOf(before), sessionsOf(text)];
    const anew = [...now].filter(([name, body]) => old.has(name) && old.get(name) !== body);
    if (anew.length * 2 > now.size) {
      this.#options.onEvent(`${anew.length} of ${now.size} sessions begin anew: bird is restarted`);
      this.#kill();
      // The watch starts the next one.
      return;
    }
    await this.ask('configure');
  }

  async #isRunning(): Promise<boolean> {
    try {
      await this.ask('show status');
      return true;
    } catch (error) {
      // A frozen one holds its socket and does not answer: it is there.
      if (!isCode(error, 'unavailable')) throw error;
      return this.#pid() !== undefined;
    }
  }

  /** The process id of our BIRD; undefined when it does not live. */
  #pid(): number | undefined {
    const pid = Number(readText(join(this.#options.stateDir, 'bird.pid')));
    const command = pid > 0 ? readText(`/proc/${pid}/cmdline`) : undefined;
    return command?.split('\0').includes(this.socketPath) ? pid : undefined;
  }

  #kill(): void {
    const pid = this.#pid();
    // Without a word to its peers: they keep the routes for the one that comes.
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
  }

  async #start(): Promise<void> {
    const { command, stateDir, hasRoutes } = this.#options;
    const [program, ...words] = command;
    const restart = hasRoutes() ? ['-R'] : [];
    const files = ['-c', this.#configPath, '-s', this.socketPath, '-P', join(stateDir, 'bird.pid')];
    const child = spawn(program!, [...words, ...restart, ...files], {
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let complaint = '';
    child.stderr.on('data', (chunk: Buffer) => {
      complaint += chunk;
    });
    // BIRD goes into the background once it has read its configuration.
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', (error) =>
        reject(new FabricError('unavailable', `start bird: ${error.message}`, { cause: error })),
      );
      child.once('exit', resolve);
    });
    child.stderr.destroy();
    if (code !== 0)
      throw new FabricError('bird-error', `start bird: ${complaint.trim() || `exit code ${code}`}`);
    await this.#untilAnswers();
  }

  async #untilAnswers(): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await this.ask('show status');
        return;
      } catch (error) {
        if (!isCode(error, 'unavailable') || tries === START_TRIES) throw error;
      }
      await delay(START_PAUSE_MS, undefined, { signal: this.#stop.signal });
    }
  }

  /** Starts BIRD again whenever it is gone: at once, and then more and more slowly. */
  async #watch(): Promise<void> {
    const { signal } = this.#stop;
    let backoffMs = 0;
    while (!signal.aborted) {
      const since = performance.now();
      await untilBirdGone(this.socketPath, signal);
      if (signal.aborted) return;
      if (performance.now() - since > STABLE_MS) backoffMs = 0;
      await delay(backoffMs, undefined, { signal }).catch(() => {});
      backoffMs = Math.min(MAX_BACKOFF_MS, Math.max(FIRST_BACKOFF_MS, backoffMs * 2));
      const done = this.#work.catch(() => {}).then(() => this.#restart());
      this.#work = done;
      await done.catch((error: Error) => {
        if (!signal.aborted) this.#options.onEvent(error.message);
      });
    }
  }

  async #restart(): Promise<void> {
    if (this.#stop.signal.aborted || this.#pid() !== undefined) return;
    await this.#start();
    this.#options.onEvent('bird was gone and is started again');
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
}
