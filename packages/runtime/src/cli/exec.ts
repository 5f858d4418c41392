import { ContainerState } from '../gen/api.ts';
import type { CriClient } from './client.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { CliError, CriCallError, startFailureExitCode, UsageError } from './errors.ts';
import { findContainer } from './find-container.ts';
import { LocalTerminal } from './local-terminal.ts';
import { containerState } from './pods.ts';
import { remoteSession } from './remote-session.ts';

export const command = defineCommand({
  name: 'exec',
  summary: 'Run a command in a running container and pass on its output and exit code',
  operands: 'CONTAINER COMMAND [ARG...]',
  arity: [2, Number.POSITIVE_INFINITY],
  passThrough: true,
  options: {
    interactive: { type: 'boolean', short: 'i', help: 'pass our input on to the command' },
    tty: { type: 'boolean', short: 't', help: 'give the command a terminal' },
    timeout: { type: 'string', value: 'SECONDS', help: 'kill the command after so long' },
  },
  details: `With --timeout the output appears when the command has ended; of each stream the first 16 MiB.

Examples:
  amphipod exec web ls -l /
  amphipod exec -it web sh
  amphipod exec -i web sh -c 'cat > /tmp/copy' < file`,
  async run([reference = '', ...cmd], options, context) {
    const { interactive = false, tty = false } = options;
    if (options.timeout !== undefined && (interactive || tty))
      throw new UsageError('--timeout cannot be used with -i or -t');
    const timeout = Number(options.timeout ?? 0);
    if (!Number.isInteger(timeout) || timeout < 0)
      throw new UsageError(`--timeout "${options.timeout}" is not a number`);
    const cri = await context.client();
    const containerId = await runningContainer(cri, reference);
    try {
      if (options.timeout !== undefined)
        return await execSync(cri, { containerId, cmd, timeout: BigInt(timeout) }, context);
      return await execStreaming(cri, { containerId, cmd, stdin: interactive, tty }, context);
    } catch (error) {
      if (!(error instanceof CriCallError)) throw error;
      throw new CliError(error.message, { exitCode: startFailureExitCode(error.message), cause: error });
    }
  },
});

/** The id of the running container that the user means. @throws CliError */
export async function runningContainer(cri: CriClient, reference: string): Promise<string> {
  const { container } = await findContainer(cri, reference, { preferRunning: true });
  if (container.state === ContainerState.CONTAINER_RUNNING) return container.id;
  throw new CliError(`container "${reference}" is not running: it is ${containerState(container.state)}`);
}

async function execSync(
  cri: CriClient,
  request: { containerId: string; cmd: string[]; timeout: bigint },
  { stdout, stderr }: CommandContext,
): Promise<number> {
  const timeoutMs = request.timeout === 0n ? 0 : (Number(request.timeout) + 10) * 1000;
  const result = await cri.runtime.execSync(request, { timeoutMs });
  stdout.write(result.stdout);
  stderr.write(result.stderr);
  return result.exitCode;
}

async function execStreaming(
  cri: CriClient,
  request: { containerId: string; cmd: string[]; stdin: boolean; tty: boolean },
  { stdout, stderr }: CommandContext,
): Promise<number> {
  const { stdin, tty } = request;
  const { url } = await cri.runtime.exec({ ...request, stdout: true, stderr: !tty });
  // Ours again when the session has ended: hence the await below.
  using terminal = tty ? LocalTerminal.open(process.stdin, process.stdout) : undefined;
  return await remoteSession(url, {
    ...(stdin && { stdin: process.stdin }),
    stdout,
    ...(!tty && { stderr }),
    terminal,
    tty,
  });
}
