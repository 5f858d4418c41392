import type { CommandEntry } from '../commands.ts';

/** The commands of `amphipod net`. */
export const netCommands: Record<string, CommandEntry> = {
  status: { summary: 'Show the overlay of this node', load: () => import('./status.ts') },
  ping: { summary: 'Find out why another node cannot be reached', load: () => import('./ping.ts') },
};
