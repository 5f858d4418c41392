import type { AgentState } from '@amphipod/fabric';
import type { OptionSpecs } from '../command.ts';
import { CliError } from '../errors.ts';

/** The option of all commands that ask the network agent. */
export const agentSocketOption = {
  'control-socket': {
    type: 'string',
    value: 'PATH',
    help: 'where the network agent serves (/run/amphipod/agent.sock)',
  },
} as const satisfies OptionSpecs;

/** The state of the agent. @throws CliError when none answers */
export async function askAgent(socket = '/run/amphipod/agent.sock'): Promise<AgentState> {
  const { readAgentState } = await import('@amphipod/fabric');
  try {
    return await readAgentState(socket);
  } catch (error) {
    throw new CliError((error as Error).message, { cause: error });
  }
}
