import type { CommandEntry } from '../../commands.ts';

/** The commands of `amphipod net ipam`, in the order of its help. */
export const ipamCommands: Record<string, CommandEntry> = {
  show: { summary: 'Show pools and blocks, and how much of them is taken', load: () => import('./show.ts') },
  check: {
    summary: 'Look for addresses and records that do not fit together',
    load: () => import('./check.ts'),
  },
  repair: { summary: 'Mend what check finds', load: () => import('./repair.ts') },
};
