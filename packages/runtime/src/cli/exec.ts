import type { CriClient } from './client.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { CliError, CriCallError, startFailureExitCode, UsageError } from './errors.ts';
import { findRunningContainer } from './find-container.ts';
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
  details: `With --timeout the output appears when the command has ended; the first 16 MiB of it.

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
    const containerId = await findRunningContainer(cri, reference);
    try {
      if (options.timeout !== undefined)
        return await execSync(cri, { containerId, cmd, timeout: BigInt(timeout) }, context);
      const wants = { stdin: interactive, stdout: true, stderr: !tty, tty };
      const { url } = await cri.runtime.exec({ containerId, cmd, ...wants });
      return await remoteSession(url, wants, context);
    } catch (error) {
      if (!(error instanceof CriCallError)) throw error;
      throw new CliError(error.message, { exitCode: startFailureExitCode(error.message), cause: error });
    }
  },
});

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
