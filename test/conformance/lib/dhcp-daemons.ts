import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pluginBinDir } from '@amphipod/plugins';

/** A running DHCP daemon. */
export interface RunningDaemon extends AsyncDisposable {
  readonly pid: number;
  /** @param signal by default the one that a service manager sends */
  end(signal?: NodeJS.Signals): Promise<void>;
}

/** A daemon as a program. */
export interface DaemonSubject {
  name: string;
  isOurs: boolean;
  start(socketPath: string, ...flags: string[]): Promise<RunningDaemon>;
}

async function start(
  [program, ...words]: readonly [string, ...string[]],
  socketPath: string,
  flags: readonly string[],
): Promise<RunningDaemon> {
  const daemon = spawn(program, [...words, '--socketpath', socketPath, ...flags], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let output = '';
  daemon.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const exited = once(daemon, 'exit');
  const isRunning = () => daemon.exitCode === null && daemon.signalCode === null;
  for (let i = 0; i < 500 && isRunning() && !existsSync(socketPath); i++) await sleep(20);
  if (!isRunning()) throw new Error(`${program} ${words.join(' ')}: ${output}`);
  const end = async (signal: NodeJS.Signals = 'SIGTERM') => {
    if (isRunning()) daemon.kill(signal);
    await exited;
  };
  return { pid: daemon.pid!, end, [Symbol.asyncDispose]: () => end('SIGKILL') };
}

/** A daemon by the words of its command. */
export const startDaemon =
  (...words: [string, ...string[]]): DaemonSubject['start'] =>
  (socketPath, ...flags) =>
    start(words, socketPath, flags);

export const daemons: DaemonSubject[] = [
  {
    name: 'our daemon',
    isOurs: true,
    start: startDaemon(join(pluginBinDir, 'dhcp'), 'daemon'),
  },
  {
    name: "the reference's daemon",
    isOurs: false,
    start: startDaemon('/usr/lib/cni/dhcp', 'daemon'),
  },
];
