import { ContainerState } from '../gen/api.ts';
import { defineCommand } from './command.ts';
import { CliError, CriCallError, startFailureExitCode, UsageError } from './errors.ts';
import { findContainer } from './find-container.ts';
import { containerState } from './pods.ts';

export const command = defineCommand({
  name: 'exec',
  summary: 'Run a command in a running container and pass on its output and exit code',
  operands: 'CONTAINER COMMAND [ARG...]',
  arity: [2, Number.POSITIVE_INFINITY],
  passThrough: true,
  options: {
    timeout: { type: 'string', value: 'SECONDS', help: 'kill the command after so long' },
    interactive: { type: 'boolean', short: 'i', help: 'not available yet: the command has no input' },
    tty: { type: 'boolean', short: 't', help: 'not available yet' },
  },
  details: `The output appears when the command has ended; of each stream the first 16 MiB.

Examples:
  amphipod exec web ls -l /
  amphipod exec web sh -c 'echo $HOSTNAME'`,
  async run([reference = '', ...cmd], options, { client, stdout, stderr }) {
    if (options.interactive || options.tty) throw new CliError('-i and -t are not available yet');
    const timeout = Number(options.timeout ?? 0);
    if (!Number.isInteger(timeout) || timeout < 0)
      throw new UsageError(`--timeout "${options.timeout}" is not a number`);
    const cri = await client();
    const { container } = await findContainer(cri, reference, { preferRunning: true });
    if (container.state !== ContainerState.CONTAINER_RUNNING) {
      throw new CliError(`container "${reference}" is not running: it is ${containerState(container.state)}`);
    }
    try {
      const result = await cri.runtime.execSync(
        { containerId: container.id, cmd, timeout: BigInt(timeout) },
        { timeoutMs: timeout === 0 ? 0 : (timeout + 10) * 1000 },
      );
      stdout.write(result.stdout);
      stderr.write(result.stderr);
      return result.exitCode;
    } catch (error) {
      if (!(error instanceof CriCallError)) throw error;
      throw new CliError(error.message, { exitCode: startFailureExitCode(error.message), cause: error });
    }
  },
});
