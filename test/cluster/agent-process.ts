// `amphipod agent` as a process, for tests.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

const program = join(import.meta.dirname, '../../bin/amphipod');

export interface Agent extends AsyncDisposable {
  child: ChildProcess;
  /** What it has logged so far. */
  output(): string;
}

/** Starts an agent on link eth0 of the test's own network namespace. */
export function startAgent(subnetFile: string, args: readonly string[]): Agent {
  const child = spawn(program, ['agent', '--subnet-file', subnetFile, '--iface', 'eth0', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let output = '';
  child.stderr!.on('data', (chunk: Buffer) => {
    output += chunk;
  });
  return {
    child,
    output: () => output,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}
