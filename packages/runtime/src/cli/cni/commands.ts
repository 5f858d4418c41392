import type { CommandEntry } from '../commands.ts';

/** The commands of `amphipod cni`, in the order of its help. */
export const cniCommands: Record<string, CommandEntry> = {
  add: { summary: 'Attach a network namespace to a network', load: () => import('./add.ts') },
  del: { summary: 'Detach a network namespace from a network', load: () => import('./del.ts') },
  check: { summary: 'Check that an attachment is as it was made', load: () => import('./check.ts') },
  status: { summary: 'Ask whether a network can take attachments', load: () => import('./status.ts') },
  gc: { summary: 'Detach everything from a network that is not to be kept', load: () => import('./gc.ts') },
  list: { summary: 'List networks and plugins', load: () => import('./list.ts') },
  validate: { summary: 'Look for mistakes in network configurations', load: () => import('./validate.ts') },
  explain: { summary: 'Show what an attachment would change', load: () => import('./explain.ts') },
  install: { summary: 'Put our plugins where other runtimes look', load: () => import('./install.ts') },
  serve: { summary: 'Run the plugins for their executables', load: () => import('./serve.ts') },
  'dhcp-daemon': {
    summary: 'Get and keep the leases of the dhcp plugin',
    load: () => import('./dhcp-daemon.ts'),
  },
};
