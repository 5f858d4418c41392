import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { readText } from '../read-text.ts';
import { runtimeMessage } from './conmon.ts';
import { globalArgs, type OciRuntime } from './runtimes.ts';
import type { OciProcess } from './spec.ts';

/** The files of one `runc exec`: what it is to run, and what it says of it. Removed at the end. */
export class ExecFiles implements Disposable {
  /** Where a socket for the terminal may be made. */
  readonly terminal: string;
  readonly #process: string;
  readonly #pid: string;
  readonly #log: string;

  constructor(directory: string, process: OciProcess) {
    const prefix = `${directory}/exec-${randomBytes(6).toString('hex')}`;
    this.terminal = `${prefix}.tty`;
    this.#process = `${prefix}.json`;
    this.#pid = `${prefix}.pid`;
    this.#log = `${prefix}.log`;
    writeFileSync(this.#process, JSON.stringify(process));
  }

  /** The arguments of the OCI runtime; `options` are more of `exec`. */
  args(runtime: OciRuntime, containerId: string, options: readonly string[] = []): string[] {
    const common = [...globalArgs(runtime), '--log', this.#log, '--log-format', 'json'];
    const files = ['--process', this.#process, '--pid-file', this.#pid];
    return [...common, 'exec', ...files, ...options, containerId];
  }

  /** Of the command; undefined while it has not been started. */
  pid(): number | undefined {
    const pid = Number.parseInt(readText(this.#pid), 10);
    return pid > 0 ? pid : undefined;
  }

  /** Why the runtime could not start it, in its words; may be empty. */
  failure(): string {
    return runtimeMessage(readText(this.#log));
  }

  [Symbol.dispose](): void {
    for (const file of [this.#process, this.#pid, this.#log]) rmSync(file, { force: true });
  }
}
