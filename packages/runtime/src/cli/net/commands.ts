import type { CommandEntry, CommandGroup } from '../commands.ts';
import { ipamCommands } from './ipam/commands.ts';

/** The commands of `amphipod net`, in the order of its help. */
export const netCommands: Record<string, CommandEntry | CommandGroup> = {
  get: { summary: 'Show resources of the network', load: () => import('./get.ts') },
  apply: { summary: 'Create or update resources of the network', load: () => import('./apply.ts') },
  delete: { summary: 'Delete resources of the network', load: () => import('./delete.ts') },
  ipam: {
    summary: 'Look after the addresses of pools',
    text: 'Works with the addresses that are given out to pods.',
    commands: ipamCommands,
  },
};
