import type { Writable } from 'node:stream';
import { CliError } from './errors.ts';

/** Does one thing for each operand; a failure is printed and the others still get their turn. Returns the exit code. */
export async function forEachOperand(
  operands: string[],
  { stderr, command }: { stderr: Writable; command: string },
  act: (operand: string) => Promise<void>,
): Promise<number> {
  let exitCode = 0;
  for (const operand of operands) {
    try {
      await act(operand);
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      stderr.write(`amphipod: ${command}: ${error.message}\n`);
      exitCode = error.exitCode;
    }
  }
  return exitCode;
}
