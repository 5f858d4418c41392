import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import type { CriServer } from './server.ts';

export type Transport = 'spdy' | 'websocket';

export interface SessionResult {
  /** 128 when a signal ended it. */
  code: number;
  stdout: Buffer;
  stderr: string;
}

/** A crictl that runs: its input is open until `child.stdin` is ended. */
export interface CrictlSession {
  child: ChildProcess;
  /** What has come so far. */
  output(): string;
  result: Promise<SessionResult>;
}

export interface SessionOptions {
  /** Written to its standard input, which is ended then. */
  input?: Buffer | string;
  /** Run it on a terminal of this size (`script`). */
  terminal?: { rows: number; columns: number };
  /** Read nothing of what it prints. */
  isDeaf?: boolean;
}

/** Starts `crictl COMMAND --transport TRANSPORT ARGS…` against a server. */
export function startCrictl(
  program: string,
  server: CriServer,
  args: string[],
  options: SessionOptions = {},
): CrictlSession {
  const configFile = `${server.dir}/crictl.yaml`;
  writeFileSync(configFile, `runtime-endpoint: unix://${server.socket}\ntimeout: 30\n`);
  const command = [program, '--config', configFile, ...args];
  const nothing = openSync('/dev/null', 'r');
  const { terminal } = options;
  const child =
    terminal === undefined
      ? spawn(command[0]!, command.slice(1), { stdio: ['pipe', 'pipe', 'pipe'] })
      : spawn('script', ['-qec', onTerminal(command, terminal), '/dev/null'], {
          stdio: ['pipe', 'pipe', 'pipe'],
        });
  closeSync(nothing);
  const chunks: Buffer[] = [];
  let stderr = '';
  if (!options.isDeaf) child.stdout!.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin!.on('error', () => {});
  if (options.input !== undefined) child.stdin!.end(options.input);
  const result = once(child, options.isDeaf ? 'exit' : 'close').then(([code]) => ({
    code: (code as number | null) ?? 128,
    stdout: Buffer.concat(chunks),
    stderr,
  }));
  return { child, output: () => Buffer.concat(chunks).toString(), result };
}

function onTerminal(command: string[], { rows, columns }: { rows: number; columns: number }): string {
  const quoted = command.map((arg) => `'${arg.replaceAll("'", "'\\''")}'`).join(' ');
  return `stty rows ${rows} cols ${columns}; exec ${quoted}`;
}
