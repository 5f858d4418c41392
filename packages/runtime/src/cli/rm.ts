import { ContainerState } from '../gen/api.ts';
import { defineCommand } from './command.ts';
import { CliError } from './errors.ts';
import { findContainer } from './find-container.ts';
import { forEachOperand } from './for-each-operand.ts';
import { removeContainer } from './remove-run.ts';

export const command = defineCommand({
  name: 'rm',
  summary: 'Remove containers',
  operands: 'CONTAINER...',
  arity: [1, Number.POSITIVE_INFINITY],
  options: {
    force: { type: 'boolean', short: 'f', help: 'also when it runs: it is killed' },
  },
  details: `The pod and the log of a container from "amphipod run" are removed with it.

Examples:
  amphipod rm web
  amphipod rm -f web db`,
  run(operands, options, { client, stdout, stderr }) {
    return forEachOperand(operands, { stderr, command: 'rm' }, async (reference) => {
      const cri = await client();
      const found = await findContainer(cri, reference);
      if (found.container.state === ContainerState.CONTAINER_RUNNING && !options.force) {
        throw new CliError(`container "${reference}" is running: stop it first, or use -f`);
      }
      await removeContainer(cri, found);
      stdout.write(`${reference}\n`);
    });
  },
});
