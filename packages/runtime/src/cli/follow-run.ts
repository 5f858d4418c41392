import type { CriClient } from './client.ts';
import type { CommandContext } from './command.ts';
import { readLog } from './log-file.ts';
import { LogPrinter } from './log-printer.ts';
import { isRunning } from './logs.ts';
import { removeRunPod } from './remove-run.ts';
import type { RunningPod } from './run-pod.ts';

export interface FollowRunOptions extends Pick<CommandContext, 'stdout' | 'stderr'> {
  /** Remove the pod at the end; else it is stopped only. */
  remove: boolean;
}

const graceSeconds = 10n;

/** Shows the output of a container until it ends; returns its exit code. SIGINT and SIGTERM stop the container. */
export async function followRun(
  client: CriClient,
  running: RunningPod,
  options: FollowRunOptions,
): Promise<number> {
  const { containerId, podSandboxId, logPath, pod } = running;
  const { runtime } = client;
  let signals = 0;
  const stop = () => {
    const timeout = signals++ === 0 ? graceSeconds : 0n;
    // A failure shows in what happens next: the container goes on, and the user asks again.
    runtime.stopContainer({ containerId, timeout }).catch((error: Error) => {
      options.stderr.write(`amphipod: run: ${error.message}\n`);
    });
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop);
  try {
    const printer = new LogPrinter(options);
    const follow = () => isRunning(client, containerId);
    for await (const records of readLog(logPath, { follow, pollMs: 100 })) printer.print(records);
    const { status } = await runtime.containerStatus({ containerId, verbose: false });
    const exitCode = status?.exitCode ?? 0;
    if (status?.reason === 'OOMKilled') options.stderr.write('amphipod: run: killed: out of memory\n');
    if (options.remove) await removeRunPod(client, pod);
    else await runtime.stopPodSandbox({ podSandboxId });
    return exitCode;
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop);
  }
}
