import type { CommandEntry } from '../commands.ts';

/** The commands of `amphipod net`, in the order of its help. */
export const netCommands: Record<string, CommandEntry> = {
  get: { summary: 'Show resources of the network', load: () => import('./get.ts') },
  apply: { summary: 'Create or update resources of the network', load: () => import('./apply.ts') },
  delete: { summary: 'Delete resources of the network', load: () => import('./delete.ts') },
};
