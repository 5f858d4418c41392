import type { CommandEntry, CommandGroup } from '../commands.ts';
import { ipamCommands } from './ipam/commands.ts';

/** The commands of `amphipod net`, in the order of its help. */
export const netCommands: Record<string, CommandEntry | CommandGroup> = {
  get: { summary: 'Show resources of the network', load: () => import('./get.ts') },
  apply: { summary: 'Create or update resources of the network', load: () => import('./apply.ts') },
  delete: { summary: 'Delete resources of the network', load: () => import('./delete.ts') },
  bgp: { summary: 'Show peers of this node, or what becomes of a prefix', load: () => import('./bgp.ts') },
  route: {
    summary: 'Show the hops that a packet takes from this node, and where it stops',
    load: () => import('./route.ts'),
  },
  routed: {
    summary: "Run this node's part of the routed network in the foreground",
    load: () => import('./routed.ts'),
  },
  ipam: {
    summary: 'Look after the addresses of pools',
    text: 'Works with the addresses that are given out to pods.',
    commands: ipamCommands,
  },
};
