import type { CommandEntry, CommandGroup } from '../commands.ts';
import { ipamCommands } from './ipam/commands.ts';

/** The commands of `amphipod net`, in the order of its help. */
export const netCommands: Record<string, CommandEntry | CommandGroup> = {
  status: { summary: 'Show the overlay of this node', load: () => import('./status.ts') },
  ping: { summary: 'Find out why another node cannot be reached', load: () => import('./ping.ts') },
  ls: { summary: 'List the networks of a pod', load: () => import('./ls.ts') },
  attach: { summary: 'Attach a running pod to further networks', load: () => import('./attach.ts') },
  detach: { summary: 'Detach a running pod from one of them', load: () => import('./detach.ts') },
  check: { summary: 'Check that networks of pods are as they were made', load: () => import('./check.ts') },
  gc: { summary: 'Take away what no pod has any more', load: () => import('./gc.ts') },
  devices: {
    summary: 'Show network cards, their virtual functions and who has them',
    load: () => import('./devices.ts'),
  },
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
