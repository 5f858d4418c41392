import { defineCommand } from './command.ts';
import { UsageError } from './errors.ts';
import { findContainer } from './find-container.ts';
import { forEachOperand } from './for-each-operand.ts';
import { stopContainer } from './remove-run.ts';

export const command = defineCommand({
  name: 'stop',
  summary: 'Stop containers: SIGTERM (or their stop signal), then SIGKILL',
  operands: 'CONTAINER...',
  arity: [1, Number.POSITIVE_INFINITY],
  options: {
    time: { type: 'string', short: 't', value: 'SECONDS', help: 'time before SIGKILL (10)' },
  },
  details: `The pod of a container from "amphipod run" is stopped with it: its address and ports are free again.

Examples:
  amphipod stop web
  amphipod stop -t 0 web`,
  run(operands, options, { client, stdout, stderr }) {
    const graceSeconds = parseSeconds(options.time ?? '10');
    return forEachOperand(operands, { stderr, command: 'stop' }, async (reference) => {
      const cri = await client();
      await stopContainer(cri, await findContainer(cri, reference, { preferRunning: true }), graceSeconds);
      stdout.write(`${reference}\n`);
    });
  },
});

/** Whole seconds, as CRI counts them. @throws UsageError */
export function parseSeconds(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`"${text}" is not a number of seconds`);
  return Number(text);
}
