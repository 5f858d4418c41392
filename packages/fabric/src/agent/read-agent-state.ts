import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { FabricError } from '../errors.ts';
import type { AgentState } from './agent-state.ts';

const TIMEOUT_MS = 10_000;

/** Asks the agent that serves a socket how it is. @throws FabricError `unavailable` when none answers */
export async function readAgentState(socket: string): Promise<AgentState> {
  try {
    const asked = request({ socketPath: socket, path: '/state', timeout: TIMEOUT_MS });
    asked.once('timeout', () => asked.destroy(new Error('no answer')));
    asked.end();
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    return JSON.parse(await text(response)) as AgentState;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why =
      code === 'ENOENT' || code === 'ECONNREFUSED'
        ? 'is "amphipod agent" running?'
        : code === 'EACCES'
          ? 'permission denied (it belongs to root)'
          : message;
    throw new FabricError('unavailable', `ask agent at ${socket}: ${why}`, { cause: error });
  }
}
