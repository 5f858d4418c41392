import type { CommandEntry } from '../commands.ts';

/** The commands of `amphipod config`. */
export const configCommands: Record<string, CommandEntry> = {
  check: {
    summary: 'Look for mistakes in the configuration of the runtime',
    load: () => import('./check.ts'),
  },
  default: {
    summary: 'Print a configuration file with every setting and its default',
    load: () => import('./default.ts'),
  },
};
