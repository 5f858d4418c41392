import type { PingCheck } from '@amphipod/fabric';
import { defineCommand, outputOption } from '../command.ts';
import { CliError } from '../errors.ts';
import { outputFormat, printJson } from '../output.ts';
import { agentSocketOption, askAgent } from './ask-agent.ts';

export const command = defineCommand({
  name: 'net ping',
  summary: 'Try to reach another node step by step, and say which step fails and what to look at',
  operands: 'NODE',
  arity: [1, 1],
  isLocal: true,
  options: { ...agentSocketOption, ...outputOption },
  details: `NODE is a name or address of the node, an address of one of its pods, or its subnet. Needs root and a network agent that runs.
Tried are: what the leases say, the underlay (ping), full packets on it, the UDP port, the overlay, full packets through it.
Exits with 1 when a step fails.

Examples:
  amphipod net ping 192.0.2.2
  amphipod net ping 10.244.7.0/24
  amphipod net ping -o json node-7 | jq '.checks[] | select(.status == "failed")'`,
  async run([text = ''], options, { stdout }) {
    const format = outputFormat(options.output);
    const { overlay, phase, why } = await askAgent(options['control-socket']);
    if (overlay === undefined) throw new CliError(`the agent has no overlay yet: ${phase}: ${why}`);
    const { findNode, pingNode } = await import('@amphipod/fabric');
    try {
      const node = await findNode(overlay.nodes, text);
      const checks = await pingNode(overlay, node);
      const isOk = checks.every(({ status }) => status !== 'failed');
      if (format === 'json') printJson(stdout, { node, isOk, checks });
      else for (const check of checks) stdout.write(checkText(check));
      return isOk ? 0 : 1;
    } catch (error) {
      throw new CliError((error as Error).message, { cause: error });
    }
  },
});

function checkText({ name, family, status, detail, advice }: PingCheck): string {
  const line = `${status.padEnd(7)}  IPv${family} ${name.padEnd(12)}  ${detail}\n`;
  return advice === undefined ? line : `${line}         ${''.padEnd(17)}  → ${advice}\n`;
}
